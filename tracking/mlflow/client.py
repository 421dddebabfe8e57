"""MLflow client without output and long waits, and a classification of its errors.

By default MLflow's client retries for minutes, and prints to the console, where it would break the progress bars; the
outbox retries already.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import sqlalchemy as sa

from tracking.mlflow.database import create_database, write_statistics
from tracking.outbox.sink import Severity

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SETTINGS: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    # It also limits uploads of artifacts. For a server that needs longer, set the variable before kerastudy starts.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "10"),
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow imports GitPython, which warns where git is not installed.
    "GIT_PYTHON_REFRESH": "quiet",
}
_SQLITE: Final = "sqlite:///"
_VARIABLE: Final = "MLFLOW_TRACKING_URI"
_OUTAGES: Final = frozenset(
    {
        "TEMPORARILY_UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "REQUEST_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "CANCELLED",
    }
)
# The fault may be the server's or the record's.
_UNCLEAR: Final = frozenset(
    {
        *("INTERNAL_ERROR", "INVALID_STATE", "ABORTED", "RESOURCE_CONFLICT"),
        # All that this user may do, or one thing; credentials can be renewed while the study runs.
        *("PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED"),
        # Answer of a proxy while the server behind it starts.
        "ENDPOINT_NOT_FOUND",
    }
)
# Answers of the artifact store, or of a web server in front of it: to everything, or to one file.
_STATUS_OUTAGES: Final = frozenset({408, 425, 429, 502, 503, 504, 507})
_STATUS_UNCLEAR: Final = frozenset({401, 403, 404})
# The fault of one file's name.
_REFUSED_NAMES: Final = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})
# Libraries of cloud storage: they raise many types of errors, and most are temporary.
_CLOUDS: Final = frozenset({"azure", "boto3", "botocore", "google", "s3transfer", "urllib3"})


def connect(tracking_uri: str, check: Callable[[], None] | None = None) -> MlflowClient:
    """Return a client for an MLflow server, or for a database file that is created if it is missing.

    `check` is called before each request, and raises to prevent it.
    """
    # Before the import: MLflow reads some of them while it is imported.
    for name, value in _SETTINGS.items():
        os.environ[name] = value
    # MLflow configures its log handlers on import, and alembic's when it creates its tables.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
    for name in ("mlflow", "alembic"):
        # Errors are raised anyway; MLflow would print a traceback as well.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if tracking_uri.startswith(_SQLITE):
        create_database(Path(tracking_uri.removeprefix(_SQLITE)))
        _prepare_database(Path(tracking_uri.removeprefix(_SQLITE)))
    set_default(tracking_uri)
    client = mlflow.MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    return client if check is None else cast("MlflowClient", _CheckedClient(client, check))


def set_default(tracking_uri: str) -> None:
    """Set the process-wide default, without the environment variable that MLflow sets with it.

    The variable would send the studies of every further home in this process to the MLflow of the first.
    """
    import mlflow

    before = os.environ.get(_VARIABLE)
    mlflow.set_tracking_uri(tracking_uri)
    if before is None:
        os.environ.pop(_VARIABLE, None)
    else:
        os.environ[_VARIABLE] = before


def classify_error(error: Exception) -> Severity:
    """Return whether an error is an outage of MLflow, a refusal of the record, or unclear."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import HTTPError, RequestException, RetryError

    if isinstance(error, MlflowException):
        # MLflow lets 500 be retried, so it comes as a RetryError; yet the server answered, and may refuse this record
        # alone.
        if isinstance(error.__context__, RetryError) and "too many 500 error" in str(error):
            return "unclear"
        # MLflow wraps errors of the connection under a code that has other causes too.
        if isinstance(error.__context__, RequestException | OSError):
            return "outage"
        if error.error_code in _OUTAGES:
            return "outage"
        return "unclear" if error.error_code in _UNCLEAR else "refused"
    if isinstance(error, HTTPError) and error.response is not None:
        status = error.response.status_code
        is_unclear = status >= 500 or status in _STATUS_UNCLEAR
        return "outage" if status in _STATUS_OUTAGES else "unclear" if is_unclear else "refused"
    # A file of the record is missing on this machine, which no wait repairs.
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return "refused"
    if isinstance(error, OSError) and error.errno in _REFUSED_NAMES:
        return "refused"
    if type(error).__module__.partition(".")[0] in _CLOUDS:
        return "unclear"
    return "outage" if isinstance(error, OSError | sa.exc.OperationalError) else "refused"


class _CheckedClient:
    """MLflow's client with a check before every request."""

    def __init__(self, client: MlflowClient, check: Callable[[], None]) -> None:
        self._client = client
        self._check = check

    def __getattr__(self, name: str) -> Any:
        """Return the client's attribute, a method with the check before it."""
        found = getattr(self._client, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def call(*args: Any, **options: Any) -> Any:
            self._check()
            return found(*args, **options)

        return call


def _prepare_database(path: Path) -> None:
    """Let the UI read during writes, which are two to four times faster then; let SQLite plan for many runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30)
    try:
        # Stored in the file.
        connection.execute("PRAGMA journal_mode=WAL")
        write_statistics(connection)
    finally:
        connection.close()
