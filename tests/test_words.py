"""The words of `docs/glossary.md` hold: in identifiers, in docstrings and comments, and on the pages."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted(
    f for room in ("kerastudy", "pipelines", "tracking", "search_spaces") for f in (ROOT / room).rglob("*.py")
)
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]
GLOSSARY = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
THINGS, VERBS = (part.split("\n## ")[0] for part in GLOSSARY.split("\n## ")[1:3])
# Names that other libraries gave: Optuna's ask and tell, the DOM of HTTP clients, Keras's own arguments.
FOREIGN = {"tell", "ask"}
# Most uses of a word for 10,000 words of docstrings and comments: people overdo these without noticing.
RARE = {"own": 12, "whoever": 4, "besides": 6}
# First words of function names that are no verb although they look like a form of one.
PARTICIPLES = re.compile(
    r"(?!(?:need|feed|seed|speed|embed|shed|bed|red|read|spread|add|find|send|bind|build|bound)(?:_|$))[a-z]+ed(?:_|$)"
)
# A state in the past, as a claim: the glossary has it. The other is a method of Optuna's samplers.
AGREED = {"failed_before_start", "reseed_rng"}
IRREGULAR = {
    "told",
    "said",
    "kept",
    "left",
    "made",
    "given",
    "taken",
    "written",
    "drawn",
    "shown",
    "known",
    "held",
    "begun",
    "gone",
}


def _rows(section: str) -> list[list[str]]:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| ")
    ]
    return [row for row in rows if not set(row[0]) <= set("- ")][1:]


def _banned_identifiers() -> list[str]:
    return [word for row in _rows(THINGS) for word in re.findall(r"`(\w+)`", row[2])]


def _banned_words() -> list[str]:
    return [word.strip() for row in _rows(VERBS) for word in row[1].split(",")]


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _names(file: Path) -> tuple[tuple[int, str, list[str]], ...]:
    """Return each name that a file defines, with its line and its words."""
    return tuple((line, name, _words_of(name)) for line, name in _defined(_tree(file)))


def _defined(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


@cache
def _prose(file: Path) -> str:
    """Return the docstrings and comments of a module, or the text of a page, without code and quotations."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        tree = _tree(file)
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        docstrings = [ast.get_docstring(n) or "" for n in ast.walk(tree) if isinstance(n, documented)]
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        text = "\n".join([*docstrings, *(t.string for t in tokens if t.type == tokenize.COMMENT)])
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    return re.sub(r"`[^`]*`|\"[^\"\n]*\"|<[^>]*>|\(http[^)]*\)", " ", text)


def _words_of(name: str) -> list[str]:
    """Split an identifier at underscores and capitals, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)]


@pytest.mark.parametrize("banned", _banned_identifiers())
def test_identifiers_use_the_terms(banned: str) -> None:
    """No name that the code defines holds a word from the glossary's last column."""
    wanted = _words_of(banned)
    found = [
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file in CODE
        for line, name, words in _names(file)
        if any(words[start : start + len(wanted)] == wanted for start in range(len(words)))
    ]
    # A Pareto front, a front end and a proxy in front are terms; a front alone is not.
    allowed = ("pareto_front", "frontend", "in_front")
    assert [each for each in found if not any(term in each for term in allowed)] == []


def test_prose_uses_the_verbs() -> None:
    """No docstring, comment or page holds a word from the glossary's table of verbs."""
    banned = re.compile(rf"\b({'|'.join(_banned_words())})\b", re.IGNORECASE)
    found = [
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in (*CODE, *PAGES)
        if file.name != "glossary.md"
        for match in banned.finditer(_prose(file))
    ]
    assert found == []


def test_rare_words_stay_rare() -> None:
    """Words that a tired author repeats stay near their share in other projects."""
    words = Counter(word.lower() for file in CODE for word in re.findall(r"[A-Za-z']+", _prose(file)))
    total = sum(words.values())
    shares = {word: 10_000 * words[word] / total for word in RARE}
    assert {word: share for word, share in shares.items() if share > RARE[word]} == {}


def test_functions_are_verbs() -> None:
    """A function's name is a verb: it does not begin with a participle."""
    found = []
    for file in CODE:
        for node in ast.walk(_tree(file)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            is_noun = any("property" in ast.unparse(d) or "validator" in ast.unparse(d) for d in node.decorator_list)
            name = node.name.strip("_")
            first = name.split("_")[0]
            if name not in AGREED and not is_noun and (PARTICIPLES.match(name) or first in IRREGULAR):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}: {node.name}")
    assert found == []


def test_module_docstrings_open_with_a_noun() -> None:
    """A module's docstring opens with what the module is, and not with a question word."""
    opened = {file: (ast.get_docstring(_tree(file)) or "").split(" ")[0] for file in CODE}
    wrong = [
        str(f.relative_to(ROOT))
        for f, word in opened.items()
        if word in {"", "What", "Which", "How", "Where", "When", "Who"}
    ]
    assert wrong == []
