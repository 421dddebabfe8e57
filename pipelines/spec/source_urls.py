"""Addresses of data: which are read, and that none holds what only the environment may hold."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

PACKAGES: Final = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
    "http": ("aiohttp", ""),
    "https": ("aiohttp", ""),
}
"""Schemes that are read, each with the package that reads it and the extra that installs that."""
CREDENTIALS: Final = {
    "s3fs": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_ENDPOINT_URL for another server",
    "gcsfs": "GOOGLE_APPLICATION_CREDENTIALS",
    "adlfs": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_CONNECTION_STRING",
}
"""Variables of the environment that give access, by package."""
_URL: Final = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_SECRET: Final = re.compile(r"sig|token|key|secret|passw|credential|auth", re.IGNORECASE)
_STORAGES: Final = ("AWS_", "AZURE_", "GOOGLE_")
_FILES: Final = ("_FILE", "GOOGLE_APPLICATION_CREDENTIALS")  # name a file that holds them
_IN_TEXT: Final = (
    re.compile(r"(//)[^@\s]+(?=@)"),
    re.compile(r"([?&][^=&\s]*(?:sig|token|key|secret|passw|credential|auth)[^=&\s]*=)[^&\s'\")]+", re.IGNORECASE),
    re.compile(r"((?:AccountKey|SharedAccessSignature)=)[^;\s]+", re.IGNORECASE),
)
_HIDDEN: Final = "..."
_LEAST: Final = 4  # letters; shorter ones are no secret, and part of words
_SHOWN: Final = "s3://, gs://, az:// or https://"


def is_url(source: str) -> bool:
    """Return whether a source is an address, of whatever kind."""
    return _URL.match(source) is not None


def find_scheme(source: str) -> str:
    """Return the scheme of an address, in lower case; "" for anything else."""
    found = _URL.match(source)
    return found["scheme"].lower() if found else ""


def explain_refused_url(source: str) -> str:
    """Return why an address is not read; "" for one that is, and for any other source.

    What it holds of credentials is not repeated: messages go to logs and terminals.

    >>> explain_refused_url("s3://bucket/rows.parquet"), explain_refused_url("rows.csv")
    ('', '')
    """
    scheme = find_scheme(source)
    if not scheme:
        return ""
    if scheme == "file":
        return "file:// names a file of this machine; write its path"
    if scheme not in PACKAGES:
        return f"expected an address with {_SHOWN}, got {scheme}://; download the file and name it, or write a loader"
    try:
        parts = urlsplit(source)
        secret = next((name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if _SECRET.search(name)), "")
    except ValueError:
        return f"expected an address such as {scheme}://bucket/rows.parquet, got one that cannot be read"
    package = PACKAGES[scheme][0]
    advice = f"they come from the environment ({CREDENTIALS[package]})" if package in CREDENTIALS else ""
    if "@" in parts.netloc or parts.password is not None:
        return f"credentials stand in the {scheme}:// address; remove them, {advice or 'and use an address without'}"
    if secret:
        shown = f"the {scheme}:// address is signed or holds credentials ({secret}=...)"
        return f"{shown}; remove them, {advice or 'and use an address without'}"
    if parts.query and package in CREDENTIALS:
        return f"expected a {scheme}:// address without a query (?...)"
    if not parts.netloc or not parts.path.strip("/"):
        return f"expected an address with a file or folder, such as {scheme}://bucket/rows.parquet, got {source}"
    return ""


def hide_credentials(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return a message of a storage's package without the credentials that it may repeat.

    Args:
        text: the message.
        environ: the variables that give access; what they hold is left out wherever it stands.

    >>> hide_credentials("Invalid endpoint: //me:word@host/?X-Amz-Signature=1f", {"AWS_SECRET_ACCESS_KEY": "host/"})
    'Invalid endpoint: //...@...?X-Amz-Signature=...'
    """
    values = [
        value
        for name, value in environ.items()
        if name.startswith(_STORAGES) and _SECRET.search(name) and not name.endswith(_FILES) and len(value) > _LEAST
    ]
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, _HIDDEN)
    for pattern in _IN_TEXT:
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return text


def is_below(source: str, prefixes: list[str]) -> bool:
    """Return whether an address is one of those that begin with a prefix; a prefix ends at a slash.

    >>> is_below("s3://data/a/b.csv", ["s3://data/a"]), is_below("s3://data/ab.csv", ["s3://data/a"])
    (True, False)
    >>> is_below("s3://data/a/../b.csv", ["s3://data/a"])
    False
    """
    written = urlsplit(source)
    # Whatever a server might read as another path than it seems.
    if "\\" in source or "%" in written.path or ".." in written.path.split("/"):
        return False
    for prefix in prefixes:
        allowed = urlsplit(prefix)
        same = (written.scheme.lower(), written.netloc.lower()) == (allowed.scheme.lower(), allowed.netloc.lower())
        if same and f"{written.path}/".startswith(f"{allowed.path.rstrip('/')}/"):
            return True
    return False
