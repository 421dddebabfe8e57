"""NumPy files of one array: a table where the study names a target column or the array has named fields, else x."""

from __future__ import annotations

import numpy as np

from pipelines.data.raw import RawData
from pipelines.data.reading.arrays import convert_pair
from pipelines.data.reading.source_file import SourceFile
from pipelines.data.reading.tabular_files import describe_first_line, read_records


def read_npy(file: SourceFile) -> RawData:
    """Return the rows of a `.npy` file.

    Raises:
        InputError: if it is none, holds Python objects, or is a single number.
    """
    try:
        # Pickled objects would run their code while they are loaded.
        array = np.load(file.path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise file.refuse(f"{file.name} cannot be read as an array: {describe_first_line(error)}") from None
    if array.ndim == 0 or not len(array):
        raise file.refuse(f"expected rows in {file.name}, got an array of shape {array.shape}")
    is_table = array.dtype.names is not None or (array.ndim == 2 and file.spec.target is not None)
    if is_table:
        return read_records(array, file)
    return convert_pair(array, None, file.name, file.key, file.part)
