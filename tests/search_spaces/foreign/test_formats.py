"""All formats together: found by their looks, there and back, and safe from whatever a file holds."""

from __future__ import annotations

import json

import pytest
import yaml
from foreign_files import as_json, plain, there_and_back
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import InputError
from search_spaces.foreign.formats import FORMATS, detect_format, find_format
from search_spaces.parameters import Categorical, Fixed, Float, Int
from search_spaces.parse import parse_space, parse_space_dict
from search_spaces.space import Space
from search_spaces.yaml_document import make_document
from search_spaces.yaml_reader import parse_document
from search_spaces.yaml_writer import to_yaml

QUIET = settings(deadline=None, derandomize=True, max_examples=40)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_known_by_its_looks(name):
    """What a format writes is recognised as that format, and by no format before it."""
    space = parse_space_dict({"lr": {"type": "float", "low": 0.1, "high": 1.0}, "epochs": 3})
    found = detect_format(parse_document(FORMATS[name].write(space).text, "some file"))
    assert found is FORMATS[name]


def test_an_unknown_file_is_reported_with_the_formats():
    """A file of no known format gets an error that lists the formats tried."""
    with pytest.raises(InputError) as caught:
        detect_format(parse_document("a: 1", "what.yaml"))
    assert str(caught.value).startswith("what.yaml:1:1: this looks like none of the formats")
    assert all(f"\n  {name}: " in str(caught.value) for name in FORMATS)


@pytest.mark.parametrize("text", ["study: mine\nmodel: mlp", "lr: {type: float, low: 0.1, high: 1.0}", "extends: mlp"])
def test_our_own_files_are_recognised(text):
    """The message on a study file states that it needs no import."""
    with pytest.raises(InputError, match="kerastudy's own way"):
        detect_format(parse_document(text, "mine.yaml"))


def test_an_unknown_name_is_reported_with_the_nearest():
    """A format that does not exist is an error with the nearest name."""
    with pytest.raises(InputError, match='did you mean "keras-tuner"'):
        find_format("kerastuner")


NAMES = st.sampled_from(["lr", "units", "depth", "rate", "net.lr", "a/b", "x-1"])
SMALL = st.integers(-50, 50)


@st.composite
def parameters(draw, name):
    """Draw a parameter that every format can express: steps from a multiple on, and choices of one type."""
    kind = draw(
        st.sampled_from(["float", "log", "stepped", "int", "intlog", "intstep", "texts", "numbers", "bools", "fixed"])
    )
    low, width, step = draw(SMALL), draw(st.integers(1, 40)), draw(st.integers(2, 9))
    made = {
        "float": lambda: Float(name, low / 8, (low + width) / 8),
        "log": lambda: Float(name, 10.0 ** (low / 10), 10.0 ** ((low + width) / 10), log=True),
        "stepped": lambda: Float(name, low * 0.5, (low + width) * 0.5, step=0.5),
        "int": lambda: Int(name, low, low + width),
        "intlog": lambda: Int(name, abs(low) + 1, abs(low) + 1 + width, log=True),
        "intstep": lambda: Int(name, low * step, (low + width) * step, step=step),
        "texts": lambda: Categorical(
            name, draw(st.sampled_from([("adam", "sgd"), ("no", "1e-3x", "a: b"), ("", "é")]))
        ),
        "numbers": lambda: Categorical(name, draw(st.sampled_from([(1, 2), (0.5, 0.25), (1e-7, 3e22)]))),
        "bools": lambda: Categorical(name, (True, False)),
        "fixed": lambda: Fixed(name, draw(st.sampled_from([1, 0.5, "relu", "off"]))),
    }
    return made[kind]()


@st.composite
def spaces(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    return Space(tuple(draw(parameters(name)) for name in names))


@pytest.mark.parametrize("name", FORMATS)
@QUIET
@given(space=spaces())
def test_what_both_can_say_comes_back_the_same(name, space):
    """A space written in a format and read again is the same space."""
    assert there_and_back(FORMATS[name], space) == space


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("shipped", ["mlp", "mlp-large", "cnn-augmented", "optimizer", "schedule"])
def test_shipped_spaces_can_be_exported(name, shipped):
    """Every shipped space is written in every format; read again it has the same parameters with the same values."""
    space = parse_space(make_document({"extends": shipped}), ())
    assert plain(there_and_back(FORMATS[name], space)).parameters == plain(space).parameters


@pytest.mark.parametrize("name", ["wandb", "katib"])
@QUIET
@given(space=spaces())
def test_readers_of_older_yaml_read_the_same(name, space):
    """W&B and Katib read YAML 1.1, to which `1e-05` is text and `no` is false: what they read is what was meant."""
    text = FORMATS[name].write(space).text
    assert yaml.safe_load(text) == parse_document(text, "written.yaml").data


@pytest.mark.parametrize("name", FORMATS)
@QUIET
@given(space=spaces())
def test_the_import_is_a_file_of_ours(name, space):
    """What is printed after an import is read by our own parser as the same space."""
    found = there_and_back(FORMATS[name], space)
    assert parse_space(parse_document(to_yaml(found.to_dict()), "ours.yaml"), ()) == found


SINGLE = st.one_of(
    *(st.none(), st.booleans(), st.integers(-3, 300), st.just(10**400), st.floats(), st.text(max_size=4)),
    st.sampled_from(["it", "other", "1", "true", "1e999", "choice", "uniform", "Int", "Parent", "linear", "log"]),
)
ANYTHING = st.recursive(SINGLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))


def mapping_of(**known):
    """Draw mappings of known keys, each there or not, with what fits there or anything."""
    return st.fixed_dictionaries({}, optional={key: value | ANYTHING for key, value in known.items()})


NUMBERS = st.one_of(st.integers(-5, 300), st.floats(), st.sampled_from([10**400, "1", "0.5", "x", None, 1e-320, 1e308]))
KT_CONDITION = mapping_of(
    class_name=st.just("Parent"),
    config=mapping_of(name=st.sampled_from(["it", "other"]), values=st.lists(ANYTHING, max_size=3)),
)
KT_CONFIG = mapping_of(
    name=st.sampled_from(["it", "other", "extends", "(1)", ""]),
    **dict.fromkeys(("min_value", "max_value", "step", "default", "value"), NUMBERS),
    sampling=st.sampled_from(["linear", "log", "reverse_log", None]),
    values=st.lists(ANYTHING, max_size=3),
    conditions=st.lists(KT_CONDITION, max_size=2),
)
KT_ITEM = mapping_of(class_name=st.sampled_from(["Int", "Float", "Choice", "Boolean", "Fixed"]), config=KT_CONFIG)
WANDB_KINDS = [
    *("uniform", "q_uniform", "int_uniform", "log_uniform", "inv_log_uniform_values", "q_log_uniform", "normal"),
    *("q_log_normal", "beta", "q_beta", "constant", "categorical"),
]
WANDB = mapping_of(
    distribution=st.sampled_from(WANDB_KINDS),
    **dict.fromkeys(("min", "max", "q", "mu", "sigma", "value"), NUMBERS),
    values=st.lists(ANYTHING, max_size=3),
    parameters=st.dictionaries(st.text(max_size=2), ANYTHING, max_size=2),
)
KATIB = mapping_of(
    name=st.sampled_from(["it", "--other"]),
    parameterType=st.sampled_from(["int", "double", "discrete", "categorical"]),
    feasibleSpace=mapping_of(
        **dict.fromkeys(("min", "max", "step"), NUMBERS),
        list=st.lists(ANYTHING, max_size=3),
        distribution=st.sampled_from(["uniform", "logUniform", "normal", "logNormal"]),
    ),
)
NNI_KINDS = ["choice", "randint", "uniform", "quniform", "loguniform", "qloguniform", "qnormal", "qlognormal"]
NNI_LEAF = mapping_of(_type=st.sampled_from(NNI_KINDS), _value=st.lists(NUMBERS, min_size=2, max_size=3))
NNI_CHOICE = mapping_of(_name=SINGLE, it=NNI_LEAF, other=NNI_LEAF)
NNI = NNI_LEAF | st.fixed_dictionaries({"_type": st.just("choice"), "_value": st.lists(NNI_CHOICE, max_size=3)})
OPTUNA = mapping_of(
    name=st.sampled_from(["FloatDistribution", "IntDistribution", "CategoricalDistribution", "IntUniformDistribution"]),
    attributes=mapping_of(
        **dict.fromkeys(("low", "high", "step"), NUMBERS), log=st.booleans(), choices=st.lists(ANYTHING, max_size=3)
    ),
)
NAMED = st.sampled_from(["it", "other"])
FILES = {
    "keras-tuner": mapping_of(
        space=st.lists(KT_ITEM, max_size=3), values=st.dictionaries(NAMED, ANYTHING), trial_id=SINGLE
    ),
    "wandb": mapping_of(
        parameters=st.dictionaries(NAMED, WANDB), metric=mapping_of(name=SINGLE, goal=SINGLE, target=NUMBERS)
    ),
    "katib": mapping_of(spec=mapping_of(parameters=st.lists(KATIB, max_size=3), objective=ANYTHING)),
    "nni": st.dictionaries(NAMED, NNI),
    "optuna": st.dictionaries(NAMED, OPTUNA),
}


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, derandomize=True, max_examples=100)
@given(data=st.data())
def test_whatever_a_file_holds_is_a_space_or_an_error(name, data):
    """A file in the shape of a format, with anything in it, gives a space or a clear error and nothing else."""
    text = json.dumps(data.draw(FILES[name]), default=str).replace("NaN", ".nan").replace("Infinity", ".inf")
    try:
        found = FORMATS[name].read(parse_document(text, "foreign.yaml")).space
    except InputError as error:
        assert str(error).startswith("foreign.yaml:")
    else:
        assert parse_space(parse_document(to_yaml(found.to_dict()), "ours.yaml"), ()) == found


def test_a_name_that_stands_for_many_parameters_takes_no_time():
    """A file with one name over and over is read at once, the rest left out with a note."""
    items = [{"class_name": "Fixed", "config": {"name": "a", "value": value}} for value in range(1500)]
    choice = {"class_name": "Choice", "config": {"name": "c", "values": list(range(900))}}
    for index, item in enumerate(items):
        item["config"]["conditions"] = [{"class_name": "Parent", "config": {"name": "c", "values": [index % 900]}}]
    with pytest.raises(InputError):
        FORMATS["keras-tuner"].read(parse_document(as_json({"space": [choice, *items]}), "x.json"))
    found = FORMATS["keras-tuner"].read(parse_document(as_json({"space": [choice, *items[:300]]}), "x.json"))
    assert len(found.space.parameters) == 101
