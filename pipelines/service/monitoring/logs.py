"""Logs of the service and of its supervisor processes: a JSON object a line, or text on a terminal.

A record states the request, the caller, the study and the trial that it belongs to, where there are any. Headers,
bodies and queries of requests are in no record.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, TextIO

from pipelines.service.config import LogsSpec
from pipelines.supervisor.events import (
    EngineLost,
    EngineRestored,
    SearchStarted,
    StudyEnded,
    StudyEvent,
    TrialEnded,
    TrialTriedAgain,
)
from search_spaces.safe_text import escape_controls

LOG_FILE: Final = "service.log"
CURRENT_REQUEST: ContextVar[MutableMapping[str, Any] | None] = ContextVar("current_request", default=None)
"""ASGI scope of the request that is handled now; its id and its token are added to it on the way."""

FIELDS: Final = ("method", "route", "status", "duration_ms", "bytes")
"""Further attributes of a record, for requests."""

# Of other libraries only warnings: httpx logs addresses, which may be passwords of receivers, uvicorn queries.
_OURS: Final = ("kerastudy", "pipelines", "tracking", "uvicorn.error")
_log = logging.getLogger("kerastudy.supervisor")


class JsonFormatter(logging.Formatter):
    """Formatter of a record as a JSON object on one line.

    Args:
        always: fields of every record, such as the study of a supervisor process.
    """

    def __init__(self, always: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._always = dict(always or {})

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        shown = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._always,
            **collect_context(record),
        }
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        return json.dumps(shown, default=str)


class TextFormatter(logging.Formatter):
    """Formatter of a record for people, on one line but for a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        context = " ".join(f"{key}={value}" for key, value in collect_context(record).items())
        line = f"{at} {record.levelname.lower():<7} {record.getMessage()}{f'  [{context}]' if context else ''}"
        text = escape_controls(line)
        if record.exc_info:
            text += f"\n{escape_controls(self.formatException(record.exc_info), keep=chr(10))}"
        return text


def collect_context(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return what a record belongs to: request, caller, study, trial, and the fields of a request."""
    scope = CURRENT_REQUEST.get() or {}
    parameters: Mapping[str, Any] = scope.get("path_params") or {}
    caller = scope.get("kerastudy.caller")
    found = {
        "request_id": scope.get("kerastudy.request_id"),
        "caller": getattr(caller, "name", None),
        "caller_id": getattr(caller, "id", None),
        "study": getattr(record, "study", parameters.get("study")),
        "trial": getattr(record, "trial", parameters.get("trial", parameters.get("number"))),
        **{name: getattr(record, name, None) for name in FIELDS},
    }
    return {key: value for key, value in found.items() if value is not None}


@contextmanager
def log_service(
    folder: Path, spec: LogsSpec, terminal: TextIO | None = None, *, name: str = LOG_FILE
) -> Iterator[None]:
    """Log into a file in a folder, and to standard error: text on a terminal, JSON elsewhere."""
    stream = terminal or sys.stderr
    shown = logging.StreamHandler(stream)
    shown.setFormatter(TextFormatter() if stream.isatty() else JsonFormatter())
    file = RotatingFileHandler(folder / name, maxBytes=spec.size, backupCount=spec.files, encoding="utf-8", delay=True)
    file.setFormatter(JsonFormatter())
    with _handle_records(spec.level.upper(), shown, file):
        yield


@contextmanager
def log_study(study: str) -> Iterator[None]:
    """Log to standard error, as JSON, with the study that this process works on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter({"study": study}))
    with _handle_records("INFO", handler):
        yield


def log_event(event: StudyEvent) -> None:
    """Log how trials and their study end; a study's other events are in `events.jsonl` beside its log."""
    match event:
        case SearchStarted():
            _log.info("the search began: %d of %d trials are done", event.done, event.budget)
        case EngineLost():
            _log.warning("waiting up to %.0f s for it to come back: %s", event.seconds, event.reason)
        case EngineRestored():
            _log.info("it is back after %.0f s: the trials go on from their checkpoints", event.seconds)
        case TrialTriedAgain():
            about = {"trial": event.number}
            _log.warning("attempt %d of %d begins: %s", event.attempt, event.of, event.reason, extra=about)
        case TrialEnded():
            level = logging.WARNING if event.state == "failed" else logging.INFO
            text = f"trial ended, {event.state}{f': {event.reason}' if event.reason else ''}"
            _log.log(level, "%s", text, extra={"trial": event.number})
        case StudyEnded():
            _log.info("study %s: %s", event.state, event.reason)


@contextmanager
def _handle_records(level: str, *handlers: logging.Handler) -> Iterator[None]:
    root = logging.getLogger()
    before = {name: logging.getLogger(name).level for name in _OURS}
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        for name, former in before.items():
            logging.getLogger(name).setLevel(former)
