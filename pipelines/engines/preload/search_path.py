"""Preload that brings `sys.path` of a fork server into order and stops its garbage collector, before any library."""

from __future__ import annotations

import gc
import os
import sys

from pipelines.engines.search_path import SAFE_PATH, order_search_path

sys.path[:] = order_search_path(sys.path)
# It was for this process; the programs that user code starts find their modules as ever.
os.environ.pop(SAFE_PATH, None)


def _collect_again() -> None:
    gc.freeze()  # what was imported stays, and a collection need not copy its pages
    gc.enable()


# Looking for garbage takes a sixth of the time of imports, which make next to none.
gc.disable()
os.register_at_fork(after_in_child=_collect_again)
