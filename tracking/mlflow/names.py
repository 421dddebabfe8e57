"""Names in MLflow for the names of a study: readable, each of another one, and read back by `decode_name`.

MLflow takes letters, digits, blanks and `_-.:/`, at most 250 characters, and no name that is another one as a path.
Any other character becomes its code: `lr@2` is `lr_u0040_2`. A longer name is cut and ends with its SHA-256. Some
databases compare names without regard to case and accents: of names that are one there, all such letters become codes.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

CHALLENGER: Final = "challenger"
"""Alias of a winner that gets no other one; `promote` takes it away with the promotion."""

OWN_TAGS: Final = frozenset(("model", "number", "pruner", "sampler", "state", "submitter", "value"))
"""Tags of runs that kerastudy writes, besides those that begin with `kerastudy.`."""

_RESERVED: Final = ("mlflow.", "kerastudy.")
# MLflow's tags that people write: descriptions, and views that its UI saves.
_WRITABLE: Final = re.compile(r"mlflow\.note\.content|mlflow\.(sharedViewState|customView)\.[\w.-]{1,200}")
_LONGEST: Final = 250
_LONGEST_FILE: Final = 120  # most file systems allow 255 bytes
_DIGEST: Final = 16  # characters: a code has six at most
# The second part keeps a name that looks encoded apart from an encoded one.
_ODD: Final = re.compile(r"[^\w\-. :/]|_(?=u[0-9a-f]{4})|^ | $")
_ODD_IN_A_FILE: Final = re.compile(r"[^\w\-. +=,()@\[\]{}!&;'~^$]|_(?=u[0-9a-f]{4})|^[. ]|[. ]$")
_PATH: Final = re.compile(r"[./]")
_UNLIKE_ITSELF: Final = re.compile(r"[^a-z0-9_\-. :/]")
_CODE: Final = re.compile(r"_u([0-9a-f]{4,6})_")
_CUT: Final = re.compile(rf"_u[0-9a-f]{{{_DIGEST}}}_$")


def encode_name(name: str) -> str:
    """Return the name in MLflow of one metric, hyperparameter or tag."""
    safe = _ODD.sub(_encode, name) or "_u0000_"
    if _is_another_path(safe):
        safe = _PATH.sub(_encode, safe)
    return _cut(safe, name, _LONGEST)


def encode_names(names: Iterable[str]) -> dict[str, str]:
    """Return the names in MLflow of names that belong together, such as all metrics of a run."""
    return _encode_together(names, encode_name, _LONGEST)


def encode_file_names(names: Iterable[str]) -> dict[str, str]:
    """Return the names in MLflow of the files and folders of one folder: its server takes them as parts of URLs."""

    def encode(name: str) -> str:
        return _cut(_ODD_IN_A_FILE.sub(_encode, name), name, _LONGEST_FILE)

    return _encode_together(names, encode, _LONGEST_FILE)


def decode_name(name: str) -> str:
    """Return the name that was encoded; of a long one, its beginning."""
    return _CODE.sub(lambda code: chr(int(code[1], 16)), _CUT.sub("", name))


def describe_cut_names(names: Mapping[str, str]) -> dict[str, str]:
    """Return tags with the whole of each name that was cut, by the last part of its name in MLflow."""
    return {f"kerastudy.name{cut[0]}": name for name, safe in names.items() if (cut := _CUT.search(safe))}


def is_writable_tag(name: str) -> bool:
    """Return whether people may write a tag of a run or an experiment: kerastudy and MLflow rely on the others."""
    # Some databases compare names without regard to case.
    known = name.casefold()
    is_reserved = known in OWN_TAGS or known.startswith(_RESERVED)
    return not is_reserved or _WRITABLE.fullmatch(name) is not None


def _encode(match: re.Match[str]) -> str:
    return f"_u{ord(match[0]):04x}_"


def _encode_together(names: Iterable[str], encode: Callable[[str], str], longest: int) -> dict[str, str]:
    given = set(names)
    same = Counter(map(_fold, given))

    def encode_all(name: str) -> str:
        # The codes in an encoded name hold none of these letters.
        return _cut(_UNLIKE_ITSELF.sub(_encode, encode(name)), name, longest)

    return {name: encode(name) if same[_fold(name)] == 1 else encode_all(name) for name in given}


def _is_another_path(name: str) -> bool:
    normal = posixpath.normpath(name)
    return normal != name or normal == "." or normal.startswith(("..", "/"))


def _fold(name: str) -> str:
    """Return what names have in common that some databases take for one."""
    letters = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()


def _cut(safe: str, name: str, longest: int) -> str:
    if len(safe) <= longest:
        return safe
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
    return f"{safe[: longest - _DIGEST - 3]}_u{digest}_"
