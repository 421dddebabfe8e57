"""The HTTP application as a whole."""

from __future__ import annotations

import re


def test_the_description_loads_nothing_from_elsewhere(service):
    """A browser in a closed network shows `/docs`: its scripts and styles come from the service."""
    page = service.client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert loaded
    assert all(address.startswith(str(service.client.base_url)) for address in loaded)
