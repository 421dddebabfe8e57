"""Names of columns as the rest of the code has them: without control characters."""

from __future__ import annotations

from dataclasses import replace

from pipelines.data.raw import RawData
from search_spaces.errors import InputError, Problem
from search_spaces.safe_text import escape_controls


def clean_column_names(raw: RawData, key: str) -> RawData:
    """Return rows whose columns have no control characters in their names.

    Names go to terminals, logs, pages and files, where a control character would do more than show itself. The model
    still takes the names of the file.

    Args:
        raw: the rows.
        key: key of the study file that an error names.

    Raises:
        InputError: if a name is then the name of two columns.
    """
    frames = [frame for frame in (raw.table, raw.labels) if frame is not None]
    names = [name for frame in frames for name in frame.columns if isinstance(name, str)]
    clean = {name: shown for name in names if (shown := escape_controls(name)) != name}
    if not clean:
        return raw
    # Before and after, no two columns have one name: a reader refuses a doubled one.
    if doubled := next((shown for shown in clean.values() if shown in names), None):
        message = f"two columns are called {doubled} once control characters are shown; rename one"
        raise InputError(Problem(message, key))
    why = "has a control character in its name; a study file names it as shown here, in single quotes"
    notes = [f'column "{shown}" {why}' for shown in clean.values()]
    return replace(
        raw,
        table=None if raw.table is None else raw.table.rename(columns=clean),
        labels=None if raw.labels is None else raw.labels.rename(columns=clean),
        headers={**{clean.get(name, name): cell for name, cell in raw.headers.items()}, **_list_headers(raw, clean)},
        pictures={clean.get(name, name): pictures for name, pictures in raw.pictures.items()},
        notes=(*raw.notes, *notes),
    )


def _list_headers(raw: RawData, clean: dict[str, str]) -> dict[str, str]:
    return {shown: raw.headers.get(name, name) for name, shown in clean.items()}
