"""Outputs of NumPy are those of the Keras model, for every kind of column and awkward values."""

import keras
import numpy as np
import pytest

from pipelines.data.columns.columns import Column
from pipelines.data.columns.encoding import NumberPlan, Plan, StringPlan, plan_table
from pipelines.data.columns.list_columns import NumberListPlan, WordListPlan
from pipelines.data.columns.text_columns import TextPlan
from pipelines.data.examples.model_tensors import make_tensors
from pipelines.data.fitted import row_encoder
from pipelines.data.fitted.files import read_fitted, write_fitted
from pipelines.data.fitted.row_encoder import RowEncoder
from pipelines.data.fitted.values import (
    DatePlan,
    FittedWindows,
    IdentityPlan,
    RawInput,
    WordPlan,
    fit_array,
    fit_columns,
)
from pipelines.data.preprocessing import build_preprocessing
from pipelines.spec.data_spec import DataSpec

ULP = float(np.finfo(np.float32).eps)
AWKWARD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-30, 3.4e38, -3.4e38, 1.0, 7.25, -1e6]
WORDS = [
    "x",
    "X",
    "",
    "new",
    "é",
    "e\u0301",
    "straße",
    "日本",
    "😀",
    " x",
    "x ",
    "a\nb",
    "tab\t",
    "[UNK]",
    "nul\0",
    "İ",
]


def numbers(values, kind="numeric") -> Column:
    return Column("a", "a", kind, np.array(values, dtype=np.float64))


def words(values, kind="string") -> Column:
    return Column("s", "s", kind, np.array(values, dtype=object))


def assert_same(fitted, raw, tmp_path, atol=0.0):
    """Compare the outputs of NumPy, of the model, and of both after the file; bit for bit where `atol` is 0."""
    write_fitted(fitted, tmp_path)
    found = RowEncoder(read_fitted(tmp_path)).encode(raw)
    model = build_preprocessing(read_fitted(tmp_path))
    keras_raw = {name: values if values.dtype == object else values.astype(np.float32) for name, values in raw.items()}
    wanted = {name: values.numpy() for name, values in model(make_tensors(keras_raw), training=False).items()}
    forms = {name: (values.shape[1:], values.dtype.name) for name, values in wanted.items()}
    assert {name: (values.shape[1:], values.dtype.name) for name, values in found.items()} == forms == fitted.outputs
    for name, values in wanted.items():
        if atol:
            assert np.allclose(found[name], values, rtol=0, atol=atol, equal_nan=True), name
        else:
            assert np.array_equal(found[name], values, equal_nan=True), name
    return found


def fit(columns, training=None, plan=None):
    rows = np.arange(len(columns[0].values)) if training is None else np.array(training)
    return fit_columns(plan or plan_table(columns, [rows], DataSpec(source="d.csv")), columns, rows)


@pytest.mark.parametrize(
    "values",
    [
        [1, 3, 1000],
        [1, 2, 9, np.nan],
        [np.nan] * 3 + [5.0],
        [5, 5, 5],
        [1e30, 1.0000001e30, -1e30],
        [1e-30, 2e-30, 4e-30],
        [16_777_216, 16_777_217, 16_777_219],
        [1 / 3, 0.1, 2e9 + 0.123],
    ],
    ids=["plain", "missing", "nearly-all-missing", "constant", "huge", "tiny", "beyond-float32", "fractions"],
)
def test_numbers(values, tmp_path):
    """Fill, centre, scale and mark: equal to the bit for numbers of any scale, missing and infinite ones too."""
    rows = np.array([*values, *AWKWARD], np.float32)
    # What is below float32's normal range is 0 in TensorFlow.
    atol = 2e-38 if max(np.abs(values)) < 1e-20 else 0.0
    assert_same(fit([numbers(values)]), {"a": rows}, tmp_path, atol)


def test_logarithms(tmp_path):
    """The copy on a logarithmic scale is equal within a few units in the last place of the logarithm."""
    values = np.concatenate([np.exp(np.linspace(0, 30, 200)), -np.exp(np.linspace(-20, 5, 40)), [0.0]])
    fitted = fit([numbers(values)])
    assert fitted.plan.numbers[0].log_unit is not None
    rows = np.concatenate([values, AWKWARD]).astype(np.float32)
    found = assert_same(fitted, {"a": rows}, tmp_path, atol=8 * ULP * 40)
    assert np.abs(found["dense"][: len(values), 1]).max() < 4


def test_dates(tmp_path):
    """Sine and cosine of a date's cycles are equal within two units in the last place; everything else to the bit."""
    days = np.concatenate([19_000 + np.arange(300) / 24, [-40_000.5, 0.0, 2_932_896.0, np.nan]])
    fitted = fit([numbers(days, "date")])
    assert len(fitted.plan.numbers[0].cycles) == 3
    assert_same(fitted, {"a": days.astype(np.float32)}, tmp_path, atol=2 * ULP)


@pytest.mark.parametrize("encoding", ["one_hot", "embedding", "hash"])
def test_strings(encoding, tmp_path):
    """Known, unknown and missing strings of any writing have the same codes."""
    column = words([*WORDS[:10], "x", "[UNK]", "a\nb"])
    codes = 4_096 if encoding == "hash" else len(set(WORDS)) + 1
    plan = Plan((), (StringPlan(0, encoding, codes),))
    assert_same(fit([column], plan=plan), {"s": np.array(WORDS, dtype=object)}, tmp_path)


@pytest.mark.parametrize("known", [["[UNK]", "a"], ["A", "[UNK]"], ["", ""], ["[UNK]", "z", "[V]"]])
@pytest.mark.parametrize("encoding", ["one_hot", "embedding"])
def test_reserved_and_no_categories(known, encoding, tmp_path):
    """A category that is Keras's word for unknown, and a fold without any category."""
    plan = Plan((), (StringPlan(0, encoding, 4),))
    fitted = fit([words(known)], plan=plan)
    assert_same(fitted, {"s": np.array(["[UNK]", "a", "A", "", "z", "q"], dtype=object)}, tmp_path)


def test_texts(tmp_path):
    """Words of a text are split, lowered and numbered as TensorFlow does it, which knows ASCII only."""
    known = [
        "The cat, the DOG!",
        "A\u00a0b c\x1cd \x0be",
        "ÉTÉ été Straße",
        "don't [x] #1",
        "\u2003w nul\0 z",
        "",
        "!?",
    ]
    unknown = ["the UNKNOWN cat", "  ", "é É", "a " * 30, "İstanbul the"]
    fitted = fit([words([*known, *known[:2]], "text")], plan=Plan((), (), texts=(TextPlan(0, 6, 12),)))
    assert len(fitted.words[0]) == 10
    assert_same(fitted, {"s": np.array([*known, *unknown], dtype=object)}, tmp_path)


def test_texts_without_a_word(tmp_path):
    """A fold in whose texts there is no word."""
    fitted = fit([words(["", "!?"], "text")], plan=Plan((), (), texts=(TextPlan(0, 2, 2),)))
    found = assert_same(fitted, {"s": np.array(["!", "a", "", "! b !"], dtype=object)}, tmp_path)
    assert found["text_1"].tolist() == [[0, 0], [1, 0], [0, 0], [1, 0]]


def test_lists(tmp_path):
    """Numbers of a list, each with its mark, and the words of a list, of which a fold may have none."""
    values = np.array([[1.0, np.nan, 3.0], [2.0, 5.0, 3.0], [9.0, 6.0, 3.0]])
    both = [Column("n", "n", "number_list", values), words(["red big\u00a0one", "red", ""], "word_list")]
    plan = Plan((), (), number_lists=(NumberListPlan(0, (False, True, False)),), word_lists=(WordListPlan(1, 4, 3),))
    raw = {
        "n": np.array([[np.nan, np.inf, 0.1], [1, 2, 3]], np.float32),
        "s": np.array(["red new\u00a0x red", ""], dtype=object),
    }
    assert_same(fit(both, plan=plan), raw, tmp_path)
    assert_same(fit(both, [2], plan=plan), raw, tmp_path)


def test_a_table_of_everything(tmp_path):
    """All kinds of columns in one table, in the order in which their features are laid out."""
    random = np.random.default_rng(0)
    columns = [
        Column("a", "a", "numeric", random.lognormal(size=90) * 1e4),
        Column("b", "b", "boolean", random.choice([0.0, 1.0, np.nan], 90)),
        Column("d", "d", "date", 19_000 + random.integers(0, 500, 90).astype(float)),
        Column("s", "s", "string", random.choice(np.array(["x", "y", ""], dtype=object), 90)),
        Column("t", "t", "string", random.choice(np.array(["q", "r", "s"], dtype=object), 90)),
        Column("u", "u", "text", random.choice(np.array(["the cat", "a dog the", "no"], dtype=object), 90)),
        Column("n", "n", "number_list", random.normal(size=(90, 3))),
        Column("w", "w", "word_list", random.choice(np.array(["k l", "l", "m k"], dtype=object), 90)),
        Column("p", "p", "image", random.integers(0, 255, (90, 2, 3, 1), dtype=np.uint8)),
    ]
    spec = DataSpec.model_validate({"source": "d.csv", "columns": {"t": {"encoding": "embedding"}}})
    fitted = fit(columns, plan=plan_table(columns, [np.arange(60)], spec), training=range(60))
    raw = {
        each.input: each.values if each.values.dtype in (object, np.uint8) else each.values.astype(np.float32)
        for each in columns
    }
    found = assert_same(fitted, raw, tmp_path, atol=8 * ULP * 20)
    assert list(found) == ["dense", "codes", "text_1", "image"]


@pytest.mark.parametrize("output", ["image", "pixels", "dense"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_pictures(output, kind, tmp_path):
    """Pictures of bytes and of numbers: standardised per channel, as pixels, and as one row of features."""
    random = np.random.default_rng(0)
    pictures = (random.random((7, 4, 5, 3)) * 255).astype(kind)
    pictures[..., 2] = 9
    assert_same(fit_array("image", pictures, np.arange(4), output, ()), {"image": pictures}, tmp_path)


def test_series(tmp_path):
    """Missing values of a series, and a channel that has none at all."""
    series = np.random.default_rng(0).normal(1e4, 1, (6, 5, 2)).astype(np.float32)
    series[0, 2], series[:, :, 1] = np.nan, np.inf
    assert_same(fit_array("series", series, np.arange(4), "series", ()), {"series": series}, tmp_path)


@pytest.mark.parametrize("output", ["series", "dense"])
@pytest.mark.parametrize("encoding", ["one_hot", "embedding", "hash", None])
def test_windows(output, encoding, tmp_path):
    """Numbers, dates and categories of windows, and the name of the series; missing and unknown ones too."""
    random = np.random.default_rng(0)
    numbers = random.normal(1e3, 5, (6, 4, 3)).astype(np.float32)
    numbers[..., 1] = 19_000 + np.arange(24).reshape(6, 4) / 4
    numbers[0, 1], numbers[1, 2, 1] = np.nan, np.inf
    weather = random.choice(np.array(["sun", "rain", "", "hail"], dtype=object), (6, 4))
    names = np.array(["a", "b", "", "new", "a", "b"], dtype=object)
    inputs = [RawInput("series", (4, 3), "float32"), RawInput("weather", (4,), "string")]
    identity = None
    if encoding is not None:
        inputs.append(RawInput("shop", (), "string"))
        codes = 4_096 if encoding == "hash" else 4
        known = () if encoding == "hash" else ("a", "b")
        identity = IdentityPlan("shop", StringPlan(0, encoding, codes), known)
    fitted = FittedWindows(
        tuple(inputs),
        output,
        (0, 2),
        (np.array([1e3, 999.0]), np.array([5.0, 0.0])),
        (DatePlan(1, (7.0, 1.0)),),
        (WordPlan("weather", 4, ("rain", "sun")),),
        identity,
    )
    raw = {"series": numbers, "weather": weather, **({"shop": names} if encoding else {})}
    assert_same(fitted, raw, tmp_path, atol=8 * ULP)


def test_windows_of_categories_alone(tmp_path):
    """A window without a number in it."""
    inputs = (RawInput("state", (3,), "string"),)
    empty = (np.zeros(0), np.zeros(0))
    fitted = FittedWindows(inputs, "series", (), empty, words=(WordPlan("state", 3, ("off", "on")),))
    assert_same(fitted, {"state": np.array([["on", "off", "x"]], dtype=object)}, tmp_path)


def test_features_of_an_array(tmp_path):
    """A flat array, with marks and without."""
    features = np.array([[1.0, 5.0, 1e-3], [3.0, np.nan, 2e20], [2.0, 7.0, -1e20]], np.float32)
    for marked in ((False, True, False), (False,) * 3):
        fitted = fit_array("features", features, np.arange(3), "dense", marked)
        assert_same(fitted, {"features": features}, tmp_path)


def test_rows_in_pieces(monkeypatch):
    """Rows are encoded in pieces that meet without gap."""
    monkeypatch.setattr(row_encoder, "_CHUNK_BYTES", 64 * 3)
    values = np.arange(10.0, dtype=np.float32)
    encoder = RowEncoder(fit([numbers(values)]))
    pieces = dict(encoder.iterate({"a": values}))
    assert list(pieces) == [0, 3, 6, 9]
    joined = np.concatenate([piece["dense"] for piece in pieces.values()])
    assert np.array_equal(joined, encoder.encode({"a": values})["dense"])


def test_plans_with_logarithms_and_marks_together(tmp_path):
    """Several columns share one tensor, each with its own further features."""
    plan = Plan(tuple(NumberPlan(at, at % 2 == 0, 0.5 if at else None) for at in range(3)), ())
    columns = [Column(str(at), f"c{at}", "numeric", np.array([1.0, 2.0, np.nan, 50.0]) * 10**at) for at in range(3)]
    raw = {f"c{at}": np.array(AWKWARD, np.float32) for at in range(3)}
    assert_same(fit(columns, plan=plan), raw, tmp_path, atol=8 * ULP * 100)


def test_the_file_of_an_earlier_version_is_read(tmp_path):
    """A folder with the model of an earlier version gives that model."""
    from pipelines.data.stored_preprocessing import has_preprocessing, load_preprocessing

    (tmp_path / "fold-0").mkdir()
    assert not has_preprocessing(tmp_path)
    model = build_preprocessing(fit([numbers([1, 2, 9])]))
    model.save(tmp_path / "fold-0" / "preprocessing.keras")
    assert has_preprocessing(tmp_path)
    rows = {"a": keras.ops.convert_to_tensor([1.0, 4.0])}
    assert np.array_equal(load_preprocessing(tmp_path)(rows)["dense"], model(rows)["dense"])
