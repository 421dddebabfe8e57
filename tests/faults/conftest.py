"""Faults hit processes that a study has started itself: nothing is kept, and nothing else holds what they leave."""

from __future__ import annotations

import kept_servers
import pytest


@pytest.fixture(autouse=True)
def _nothing_is_kept():
    with kept_servers.keep_nothing():
        yield
