"""Text of others is shown as text: it moves no cursor, forges no line, draws no picture."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.error_text import shorten_message
from search_spaces.safe_text import escape_controls, escape_markdown, format_code


@given(st.text())
def test_no_control_character_is_left(text):
    """Neither an escape nor a line's end, in ASCII and in Unicode; a text without them stays as it is."""
    shown = escape_controls(text)
    assert len(shown.splitlines()) <= 1
    assert not any(character in shown for character in "\x1b\x9b\x07\r\x00\u202e\u2066\u200f")
    assert shown == text or len(shown) > len(text)


def test_the_form_is_that_of_json():
    """So that JSON stays JSON where it passes through."""
    text = "\x9b31m\u202e"
    assert json.loads(f'"{escape_controls(text)}"') == text


def test_line_feeds_stay_where_a_text_has_lines():
    """Only the line feed itself."""
    assert escape_controls("a\nb\r\x1b", keep="\n") == "a\nb\\u000d\\u001b"


@pytest.mark.parametrize("text", ["a", "a`b", "``", "`a", "a```b``"])
def test_code_ends_where_the_text_does(text):
    """The fence is longer than any run of backticks within."""
    code = format_code(text)
    fence = code[: len(code) - len(code.lstrip("`"))] if not text.startswith("`") else code.split(" ")[0]
    assert code.startswith(fence) and code.endswith(fence)
    assert fence not in text


def test_markup_is_text():
    """A tag and a picture of a name are shown, not drawn."""
    assert escape_markdown("<img src=x> ![a](b)") == "&lt;img src=x> !\\[a](b)"


def test_a_message_of_a_library_is_one_plain_line():
    """Also where user code raises it."""
    assert shorten_message("bad \x1b]0;owned\x07\nsecond") == "bad \\u001b]0;owned\\u0007 second"
