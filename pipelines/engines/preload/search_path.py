"""Preload that brings `sys.path` of a fork server into order, before it imports any library."""

from __future__ import annotations

import os
import sys

from pipelines.engines.search_path import SAFE_PATH, order_search_path

sys.path[:] = order_search_path(sys.path)
# It was for this process; the programs that user code starts find their modules as ever.
os.environ.pop(SAFE_PATH, None)
