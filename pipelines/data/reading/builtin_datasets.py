"""Built-in data sets: those of scikit-learn, and those that Keras downloads."""

from __future__ import annotations

import pandas as pd

from pipelines.data.prepared import InputKind
from pipelines.data.raw import Origin, RawData, combine
from pipelines.data.reading.arrays import convert_pair
from search_spaces.errors import InputError, Problem, suggest_choice

SKLEARN_SETS = ("breast_cancer", "diabetes", "digits", "iris", "wine")
KERAS_SETS = ("boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "mnist")


def load_sklearn(name: str, key: str, prefers: InputKind) -> RawData:
    """Return a data set of scikit-learn; digits as 8 x 8 images if the model family takes images.

    Raises:
        InputError: if there is no such set.
    """
    if name not in SKLEARN_SETS:
        raise InputError(Problem(f'scikit-learn has no data set "{name}"; {suggest_choice(name, SKLEARN_SETS)}', key))
    # Takes over a second to import, and other sources do without it.
    from sklearn import datasets

    source = f"sklearn:{name}"
    bunch = getattr(datasets, f"load_{name}")(as_frame=name != "digits")
    if name == "digits":
        return convert_pair(bunch.data if prefers == "dense" else bunch.images[..., None], bunch.target, source, key)
    table: pd.DataFrame = bunch.data
    names = tuple(str(label) for label in bunch.target_names) if "target_names" in bunch else ()
    origin = Origin(source, key, "row", range(1, len(table) + 1))
    return RawData((origin,), table=table, labels=pd.DataFrame({"target": bunch.target}), class_names=names)


def load_keras(name: str, key: str) -> RawData:
    """Return a set of `keras.datasets`, from Keras's cache or by download; its test rows stay test rows.

    Raises:
        InputError: if there is no such set, or it is not in the cache and cannot be downloaded.
    """
    if name not in KERAS_SETS:
        raise InputError(Problem(f'Keras has no data set "{name}"; {suggest_choice(name, KERAS_SETS)}', key))
    # Takes five seconds to import, and other sources do without it.
    import keras

    source = f"keras:{name}"
    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    # Keras reports a failed download as a bare Exception, and a broken file as whatever the reader raises.
    except Exception as error:
        message = f"{source} is not in Keras's cache and cannot be downloaded: {error}"
        raise InputError(Problem(message, key)) from error
    rest = convert_pair(x_train, y_train, source, key)
    test = convert_pair(x_test, y_test, f"{source} (test)", key, "test")
    return combine([rest, test])
