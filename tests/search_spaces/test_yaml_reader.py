"""The reader of YAML and JSON: plain data, the place of every key, and refusals."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_data import DATA

from search_spaces.errors import InputError, Place
from search_spaces.yaml_document import MAX_DEPTH, Document
from search_spaces.yaml_reader import MAX_BYTES, parse_document, read_document

QUIET = settings(deadline=None, derandomize=True)


def refusal(text, file="study.yaml"):
    with pytest.raises(InputError) as caught:
        parse_document(text, file)
    return str(caught.value)


def test_yaml_becomes_plain_data():
    """Values have plain Python types and YAML 1.2's meaning: `1e-4` is a number, `no` and `12:30` are text."""
    text = """
        numbers: [1, -2, 2.5, 1e-4, .5, 0x10, 0o17]
        words: [relu, no, off, 12:30, 1_000, "1e-4"]
        other: [true, False, null, ~]
        empty:
    """
    assert parse_document(text, "f").data == {
        "numbers": [1, -2, 2.5, 1e-4, 0.5, 16, 15],
        "words": ["relu", "no", "off", "12:30", "1_000", "1e-4"],
        "other": [True, False, None, None],
        "empty": None,
    }


def test_types_are_plain():
    """No type of the YAML library is left in the data, so that it can be pickled, compared and stored."""
    data = parse_document("a: {b: [1, 2.0, x, true]}", "f").data
    assert [type(data), type(data["a"]), type(data["a"]["b"])] == [dict, dict, list]
    assert [type(item) for item in data["a"]["b"]] == [int, float, str, bool]


def test_numbers_that_are_not_finite_are_read():
    """`.inf` and `.nan` are numbers; a check for finite ones is left to the parser of the key."""
    low, high, none = parse_document("a: [-.inf, .INF, .NaN]", "f").data["a"]
    assert (low, high) == (-math.inf, math.inf)
    assert math.isnan(none)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "study.yaml:3:1: a: the key stands here a second time, after line 1; remove one"),
        ("a:\n  b: 1\n  b: 1", "study.yaml:3:3: a.b: the key stands here a second time, after line 2; remove one"),
        ("a: &x 1", "study.yaml:1:4: `&x` marks a value for use elsewhere; write the value out there"),
        ("a: *x", "study.yaml:1:4: `*x` stands for a value elsewhere; write the value out"),
        ("a:\n  <<: {b: 1}", "study.yaml:2:3: `<<` merges another mapping; write its keys out"),
        (
            "a: !!str 1",
            "study.yaml:1:4: the tag `tag:yaml.org,2002:str` is not used here; remove it (quotes make a value text)",
        ),
        ("a: !x {}", "study.yaml:1:4: the tag `!x` is not used here; remove it (quotes make a value text)"),
        ("12: a", 'study.yaml:1:1: expected text as a key, got 12; put it in quotes ("12") if it is a name'),
        ("null: a", 'study.yaml:1:1: expected text as a key, got null; put it in quotes ("null") if it is a name'),
        ("a: {1.5: b}", 'study.yaml:1:5: expected text as a key, got 1.5; put it in quotes ("1.5") if it is a name'),
        (
            "{[a]: b}",
            "study.yaml:1:2: expected text as a key, got a mapping or list; is a quote or a brace missing?",
        ),
        ("a: 1\n---\nb: 2", "study.yaml:2:1: a second document begins at `---`; expected one document in a file"),
        (
            '"two\\nlines"',
            'study.yaml:1:1: expected a mapping (`key: value` lines) at the top level, got the text "two\\nlines"',
        ),
        ("- a", "study.yaml:1:1: expected a mapping (`key: value` lines) at the top level, got a list"),
        ("a b", 'study.yaml:1:1: expected a mapping (`key: value` lines) at the top level, got the text "a b"'),
        ("", "study.yaml:1:1: the file is empty; expected a mapping such as `study: my-study`"),
        ("# only words", "study.yaml:1:1: the file is empty; expected a mapping such as `study: my-study`"),
        ("%YAML 1.1\n---\na: 1", "study.yaml:2:1: directives such as `%YAML` are not used here; remove the line"),
        ("a: x\0", "study.yaml:1:5: the character U+0000 is not text; remove it"),
        ("a:\n\t- 1", "study.yaml:2:1: a tab stands where spaces are expected; indent with spaces"),
        (
            "a: b: c",
            "study.yaml:1:5: a second `:` in one line, or a key indented too far; put text that holds `: ` in quotes",
        ),
        ("a: 'b", "study.yaml:1:6: a quote is opened and never closed"),
        (
            "a:\n    b: 1\n  c: 2",
            "study.yaml:3:3: the indentation does not fit the lines above; is a key indented too little or too far?",
        ),
        ("a: [1, 2\nb: 3", "study.yaml:2:2: a `[` or `{` before this is not closed, or a `,` is missing"),
        ("a: " + "9" * 5000, "study.yaml:1:4: the number has more digits than can be read"),
        ("a: 0x" + "f" * 5000, "study.yaml:1:4: the number has more digits than can be read"),
        ('a: "\\ud83d"', "study.yaml:1:4: the text holds an escape for a character that is not text; remove it"),
        (
            "a: " + "[" * 60,
            f"study.yaml:1:{MAX_DEPTH + 3}: nested deeper than {MAX_DEPTH} levels, which no study needs",
        ),
        (
            "a: [" + "1, " * 10_000 + "]",
            "study.yaml:1:29993: there are more than 5000 keys and items, which no study needs",
        ),
    ],
)
def test_what_surprises_is_refused(text, message):
    """Each thing that is not accepted is named with its place and what to do."""
    assert refusal(text) == message


def test_a_very_long_text_is_refused_unread():
    """Text beyond the limit is not given to the parser, whose time grows with it."""
    assert "longer than 256 kB" in refusal("a" * (MAX_BYTES + 1))


def test_deep_brackets_are_refused_before_they_cost_time():
    """The parser takes time with the square of the depth, so it is stopped at the limit and not at the end."""
    assert "nested deeper than" in refusal("[" * 100_000)
    assert "nested deeper than" in refusal("[" * 100_000, "study.json")


def test_json_is_read():
    """JSON is accepted with all that YAML would trip over: tabs, escaped slashes, characters beyond U+FFFF."""
    text = '{\n\t"a":\t[1, 2.5, "\\/", "\\ud83d\\ude00"],\n\t"b": {"c": null}\n}'
    document = parse_document(text, "study.json")
    assert document.data == json.loads(text)
    assert document.find_place(("b", "c")) == Place("study.json", 3, 8)
    assert document.find_place(("a", 1)) == Place("study.json", 2, 11)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,}', "study.json:1:9: this is not valid JSON: expecting property name enclosed in double quotes"),
        ("a: 1", "study.json:1:1: this is not valid JSON: expecting value"),
        ('{"a": 1, "a": 2}', "study.json:1:10: a: the key stands here a second time, after line 1; remove one"),
    ],
)
def test_json_is_held_to_json(text, message):
    """A file called .json is refused where it is YAML only, and where a key stands twice."""
    assert refusal(text, "study.json") == message


def test_a_file_is_read(tmp_path):
    """A file gives its data; a byte order mark does not become part of the first key."""
    (tmp_path / "s.yaml").write_bytes(b"\xef\xbb\xbfstudy: x\n")
    document = read_document(tmp_path / "s.yaml")
    assert document.data == {"study": "x"}
    assert document.find_place(("study",)).line == 1


def test_a_missing_file_is_named(tmp_path):
    """A file that is not there is named, with the one next to it that has another ending."""
    (tmp_path / "s.yml").write_text("a: 1")
    with pytest.raises(InputError, match=r's\.yaml: there is no such file; did you mean ".*s\.yml"\?'):
        read_document(tmp_path / "s.yaml")
    with pytest.raises(InputError, match="there is no such file; check the path"):
        read_document(tmp_path / "t.yaml")


def test_a_folder_is_no_study_file(tmp_path):
    """A folder is called one."""
    with pytest.raises(InputError, match="expected a file, got a folder"):
        read_document(tmp_path)


def test_a_large_file_is_refused_unread(tmp_path):
    """A data file given for a study file is not read to its end."""
    (tmp_path / "s.yaml").write_bytes(b"a: 1\n" * MAX_BYTES)
    with pytest.raises(InputError, match="larger than 256 kB"):
        read_document(tmp_path / "s.yaml")


def test_bytes_that_are_no_utf8_are_placed(tmp_path):
    """The first byte that is not UTF-8 is shown with its line and column."""
    (tmp_path / "s.yaml").write_bytes(b"a: 1\nname: caf\xe9\n")
    with pytest.raises(InputError, match=r"s\.yaml:2:10: the file is not UTF-8 text \(byte 0xe9\)"):
        read_document(tmp_path / "s.yaml")


@QUIET
@given(DATA.filter(bool))
def test_json_means_what_it_means_to_python(data):
    """JSON gives the same data as Python's own reader."""
    text = json.dumps(data)
    if "Infinity" not in text:
        assert repr(parse_document(text, "f.json").data) == repr(json.loads(text))


def taken_or_refused(read) -> Document | None:
    try:
        return read()
    except InputError as error:
        assert error.problems
        assert "\n" not in str(error.problems[0])
        return None


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.text(max_size=200) | st.text(alphabet="ab01:-[]{},&*!|>'\"%@#?\\ \n\t~<.", max_size=80))
def test_any_text_is_read_or_refused(text):
    """Arbitrary text gives a document or an InputError of one line, never another exception."""
    taken_or_refused(lambda: parse_document(text, "f.yaml"))
    taken_or_refused(lambda: parse_document(text, "f.json"))


@QUIET
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    """A file of arbitrary bytes gives a document or an InputError."""
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)
    taken_or_refused(lambda: read_document(path))
