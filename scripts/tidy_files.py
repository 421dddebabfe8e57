"""Trailing white space and line ends of text files: `tidy_files.py [--check] [FILE ...]`.

Every line ends without white space, and every file ends with one line feed. Without names, all files that git tracks
are taken; tables of data stay as they were written. With `--check` nothing is written, and the files that would
change are named. The exit code is 1 if there are any.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_DATA = {".csv", ".svg"}


def main(arguments: list[str]) -> int:
    """Tidy the named files, or name those that are not tidy."""
    only_check = "--check" in arguments
    names = [name for name in arguments if name != "--check"] or _tracked()
    untidy = [path for path in map(Path, names) if _is_text(path) and _tidy(path) != path.read_bytes()]
    for path in untidy:
        if not only_check:
            path.write_bytes(_tidy(path))
        print(f"{path}: white space at the end of a line or of the file{'' if only_check else ', removed'}")
    return 1 if untidy else 0


def _tracked() -> list[str]:
    # `-z`: git quotes names that are not ASCII otherwise.
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name]


def _is_text(path: Path) -> bool:
    return path.is_file() and path.suffix not in _DATA and b"\0" not in path.read_bytes()


def _tidy(path: Path) -> bytes:
    lines = re.sub(rb"[ \t\r]+$", b"", path.read_bytes(), flags=re.MULTILINE).rstrip(b"\n")
    return lines + b"\n" if lines else b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
