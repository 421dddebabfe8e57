"""Search of runs by MLflow's UI: it counts the runs that it has loaded, so its page holds a whole study."""

from __future__ import annotations

import json
from typing import Final

ROUTE: Final = "/ajax-api/2.0/mlflow/runs/search"
"""Route of the UI alone; programs use the one below `/api/`."""

_PAGE_OF_UI: Final = 100
# MLflow answers within a second; of more runs, the UI still loads further pages.
_RUNS_A_PAGE: Final = 1000


def widen_page(body: bytes) -> bytes:
    """Return a search's body that requests more runs at a time; another body as it is."""
    try:
        search = json.loads(body)
    except ValueError:
        return body
    if not isinstance(search, dict) or search.get("max_results") != _PAGE_OF_UI:
        return body
    return json.dumps({**search, "max_results": _RUNS_A_PAGE}).encode()
