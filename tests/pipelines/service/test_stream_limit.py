"""Open streams are counted, and one too many is refused."""

from __future__ import annotations

import pytest

from pipelines.service.errors import TooMuchError
from pipelines.service.stream_limit import StreamLimit


def test_a_stream_that_ends_makes_room():
    """Also one that ends with an error."""
    streams = StreamLimit(most=1)
    with pytest.raises(OSError, match="gone"), streams.acquire():
        with pytest.raises(TooMuchError, match="1 clients follow"):
            streams.check_capacity()
        with pytest.raises(TooMuchError), streams.acquire():
            pass
        raise OSError("gone")
    streams.check_capacity()
    with streams.acquire():
        pass
