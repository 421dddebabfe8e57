"""Rows below a table that are none of its rows: totals, means, and what `data.skipfooter` leaves out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeVar

from pipelines.data.reading.source_file import SourceFile
from pipelines.spec.data_spec import DataSpec

_TOTALS = frozenset(
    {
        *("total", "totals", "grand total", "subtotal", "sub-total", "sum", "overall", "average", "mean"),
        *("summe", "gesamt", "gesamtsumme", "insgesamt", "zwischensumme", "mittelwert", "durchschnitt"),
        *("somme", "total général", "moyenne", "suma", "total general", "promedio", "media", "totale", "somma"),
        *("totaal", "gemiddelde", "soma", "média", "summa", "итого", "всего", "合計", "总计"),
    }
)
"""Words that begin a row of totals, in lower case and without a colon behind."""

_Row = TypeVar("_Row")


def leave_footer(rows: Iterator[_Row], spec: DataSpec) -> Iterator[_Row]:
    """Yield the rows without the last ones, which `data.skipfooter` counts."""
    below = spec.skipfooter or 0
    held: deque[_Row] = deque()
    for row in rows:
        held.append(row)
        if len(held) > below:
            yield held.popleft()


class FooterCheck:
    """Check of a table's last row, whose rows are seen some at a time.

    Args:
        file: the file; nothing is checked where `data.skipfooter` is set.
    """

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._words: set[tuple[int, str]] = set()
        self._last: Sequence[str] = ()
        self._place = ""

    def update(self, rows: Sequence[Sequence[str]], place: str) -> None:
        """Add rows of fields, the last of which has this place."""
        if self._file.spec.skipfooter is not None:
            return
        earlier = [self._last, *rows[:-1]] if self._last else rows[:-1]
        # Who has a category "total" has it in several rows.
        self._words |= {(at, word) for row in earlier for at, cell in enumerate(row) if (word := _find_total(cell))}
        self._last, self._place = rows[-1], place

    def finish(self) -> None:
        """Check the last row.

        Raises:
            InputError: if it looks like totals.
        """
        found = [(at, cell) for at, cell in enumerate(self._last) if _find_total(cell)]
        if found and not any((at, _find_total(cell)) in self._words for at, cell in found):
            raise self._file.refuse(
                f'{self._place}, the last, looks like totals and not like a row: "{found[0][1].strip()}"; set '
                "data.skipfooter: 1 to leave it out, or 0 if it is a row"
            )


def _find_total(cell: str) -> str:
    """Return the word of a cell that stands for totals, in lower case; "" for any other cell."""
    if len(cell) > 20:  # none of the words is as long
        return ""
    word = cell.strip().rstrip(":").lower()
    return word if word in _TOTALS else ""
