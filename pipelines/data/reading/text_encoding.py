"""Encodings of text files: UTF-8, what the first bytes state, or else what charset-normalizer finds."""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.data.reading.source_file import SourceFile

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT = (
    (b"PK\x03\x04", "a zip archive or an Excel file"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"PAR1", "a Parquet file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"%PDF", "a PDF"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file"),
    (b"<!doctype html", "a web page, perhaps of a failed download"),
    (b"<html", "a web page, perhaps of a failed download"),
    (b"<table", "a table of a web page"),
    (b"<?xml", "XML"),
    (b"SQLite format 3", "a database of SQLite"),
)
_HEAD = 65_536
_SAMPLE_LINES = 500
# Signs within or before words, where cp1252 has letters of other languages: a Polish word reads as £ód or ¿ó³ty.
_ODD_SIGNS = re.compile(r"[¢-©¬-·»-¾](?=[a-zà-ÿ])|(?<=[^\W\d_])[¢-¦¨¬®¯±-³¹¼-¿](?=[^\W\d_])|Ÿ(?=\W)")
_FEW_LETTERS = 3
_FEW_WORDS = 3
_MOST_FURTHER = 3
_LEAST_ZEROS = 0.3  # UTF-16 of a Western text has a zero byte beside nearly each letter


@dataclass(frozen=True)
class Encoding:
    """The encoding of a file, with a note where it was chosen by what the text looks like."""

    name: str
    notes: tuple[str, ...] = ()


def find_encoding(file: SourceFile) -> Encoding:
    """Return the encoding of a text file, in which all of it can be read.

    Raises:
        InputError: if it is no text, or a byte does not fit `data.encoding` or any encoding, with its line.
    """
    with file.open() as opened:
        head = opened.read(_HEAD)
    for start, kind in _NO_TEXT:
        if head[: len(start)].lower() == start.lower():
            raise file.refuse(
                f"{file.name} is {kind}, not a text file; give it the ending of what it is, or replace it"
            )
    if file.spec.encoding is not None:
        encoding = Encoding("utf-8-sig" if _is_utf8(file.spec.encoding) else file.spec.encoding)
    else:
        encoding = _detect(file, head)
    if encoding.name != "utf-8":  # that was found line by line
        _check_all(file, encoding)
    return encoding


def _detect(file: SourceFile, head: bytes) -> Encoding:
    for mark, name in _MARKS:
        if head.startswith(mark):
            return Encoding(name)
    if b"\0" in head:
        return _detect_wide(file, head)
    found = _find_bad_lines(file)
    if found is None:
        return Encoding("utf-8")
    if found.others:
        raise file.refuse(
            f"line {found.numbers[0]} of {file.name} is no UTF-8 ({found.shown}), though line {found.others[0]} is: "
            "save the file again as UTF-8, or set data.encoding, such as cp1252, to read all of it in that"
        )
    return _guess(file, found)


def _detect_wide(file: SourceFile, head: bytes) -> Encoding:
    even, odd = head[::2].count(0) / len(head[::2]), head[1::2].count(0) / max(1, len(head[1::2]))
    if max(even, odd) < _LEAST_ZEROS or min(even, odd) >= _LEAST_ZEROS:
        line = head[: head.index(0)].count(b"\n") + 1
        raise file.refuse(f"{file.name} is no text: line {line} holds a zero byte; save it as CSV in UTF-8")
    name = "utf-16-le" if odd > even else "utf-16-be"
    return Encoding(name, (f"{file.name} is read as {name} (data.encoding)",))


@dataclass(frozen=True)
class _BadLines:
    """Lines that are no UTF-8: their numbers and bytes; and lines beyond ASCII that are."""

    numbers: tuple[int, ...]
    lines: tuple[bytes, ...]
    others: tuple[int, ...]

    @property
    def shown(self) -> str:
        """The first bad byte, with the bytes around it."""
        line = self.lines[0]
        at = _find_bad_byte(line, "utf-8") or 0
        return f"byte 0x{line[at]:02X} in {line[max(0, at - 10) : at + 10].strip()!r}"


def _find_bad_lines(file: SourceFile) -> _BadLines | None:
    numbers: list[int] = []
    lines: list[bytes] = []
    others: list[int] = []
    with file.open() as opened:
        for number, line in enumerate(opened, 1):
            if line.isascii():
                continue
            if _find_bad_byte(line, "utf-8") is None:
                others.append(number)
            else:
                numbers.append(number)
                lines += [line] if len(lines) < _SAMPLE_LINES else []
    return _BadLines(tuple(numbers), tuple(lines), tuple(others)) if numbers else None


def _guess(file: SourceFile, found: _BadLines) -> Encoding:
    # Each line once: a word that comes back again and again counts as noise.
    best = _choose_encoding(b"".join(dict.fromkeys(found.lines)))
    if best is None:
        raise file.refuse(
            f"line {found.numbers[0]} of {file.name} is no UTF-8 text ({found.shown}), and its encoding cannot be "
            "found out; save it as UTF-8, or set data.encoding, such as cp1252"
        )
    line = found.lines[0]
    at = _find_bad_byte(line, "utf-8") or 0
    shown = _cut_word(line.decode(best, "replace"), len(line[:at].decode(best, "replace")))
    count = f" and {len(found.numbers) - 1} others" if len(found.numbers) > 1 else ""
    note = (
        f'{file.name} is no UTF-8 and is read as {best}: "{shown}" in line {found.numbers[0]}{count}'
        f"{_show_further(found.lines, best, shown)}; if that reads wrong, set data.encoding"
    )
    return Encoding(best, (note,))


def _show_further(lines: Sequence[bytes], encoding: str, shown: str) -> str:
    """Return further words, each with another letter beyond ASCII: one word may read right by chance."""
    seen = {letter for letter in shown if not letter.isascii()}
    words: list[str] = []
    for line in lines:
        for word in re.findall(r"[^\W\d_]+", line.decode(encoding, "replace")):
            letters = {letter for letter in word if not letter.isascii()}
            if letters - seen and len(words) < _MOST_FURTHER:
                words.append(f'"{word}"')
                seen |= letters
    return f", and words such as {', '.join(words)}" if words else ""


def _choose_encoding(sample: bytes) -> str | None:
    """Return the encoding in which a text reads best; None where none is found.

    Many give the same letters, and cp1252 is what most programs mean: it is taken where it gives a Western text.
    """
    from charset_normalizer import from_bytes  # only for files that are no UTF-8

    readings = {match.encoding: str(match) for match in from_bytes(sample) if not match.encoding.startswith("utf")}
    western = _decode(sample, "cp1252")
    if western is None or _ODD_SIGNS.search(western):
        return next(iter(readings), None)
    words = {word for word in re.findall(r"[^\W\d_]+", western) if not word.isascii()}
    letters, foreign = sum(map(len, words)), sum(not letter.isascii() for word in words for letter in word)
    # In few letters of another kind, other languages cannot be distinguished from noise.
    is_sparse = foreign <= 0.5 * letters or foreign <= _FEW_LETTERS
    if western in readings.values() or (is_sparse and len(words) <= _FEW_WORDS):
        return "cp1252"
    near = next((name for name in readings if name.startswith(("cp125", "iso8859"))), None)
    return (near or "cp1252") if is_sparse else next(iter(readings), None)


def _check_all(file: SourceFile, encoding: Encoding) -> None:
    decoder = codecs.getincrementaldecoder(encoding.name)()
    try:
        with file.open() as opened:
            for chunk in _read_chunks(opened):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeError:
        raise _explain_bad_byte(file, encoding.name) from None


def _explain_bad_byte(file: SourceFile, encoding: str) -> Exception:
    # A decoder counts from the beginning of its chunk; only here, where it fails, is all of the file in memory.
    with file.open() as opened:
        content = opened.read()
    at = _find_bad_byte(content, encoding) or 0
    line = content[:at].decode(encoding, "ignore").count("\n") + 1
    shown = "the file ends within a letter" if at >= len(content) - 1 else f"byte 0x{content[at]:02X} cannot be read"
    message = f"line {line} of {file.name} is no {encoding.removesuffix('-sig')} text: {shown}; set data.encoding to "
    return file.refuse(f"{message}another encoding, or save the file as UTF-8", _get_key(file))


def _get_key(file: SourceFile) -> str | None:
    return "data.encoding" if file.spec.encoding is not None else None


def _find_bad_byte(content: bytes, encoding: str) -> int | None:
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start
    except UnicodeError:
        return 0
    return None


def _decode(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except UnicodeError:
        return None


def _cut_word(line: str, at: int) -> str:
    """Return the word of a line around a letter."""
    before = "".join(itertools.takewhile(_is_in_word, reversed(line[max(0, at - 20) : at])))
    return before[::-1] + "".join(itertools.takewhile(_is_in_word, line[at : at + 20]))


def _is_in_word(letter: str) -> bool:
    return letter not in ',;|"\t\r\n'


def _read_chunks(opened: object) -> Iterator[bytes]:
    return iter(lambda: opened.read(1 << 20), b"")  # type: ignore[attr-defined]


def _is_utf8(name: str) -> bool:
    return codecs.lookup(name).name == "utf-8"
