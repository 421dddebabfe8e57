"""Logs: one JSON object a line with request, caller, study and trial; text on a terminal; files of a bounded size."""

from __future__ import annotations

import io
import json
import logging
import time

import httpx
import pytest
from served import study_text, submit

from pipelines.service.config import LogsSpec
from pipelines.service.monitoring.logs import LOG_FILE, log_event, log_service, log_study
from pipelines.supervisor.events import TrialEnded, TrialTriedAgain

LOG = logging.getLogger("kerastudy.test")


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _audible(monkeypatch):
    """What earlier tests have imported may have silenced our loggers."""
    for name in ("kerastudy", "kerastudy.test", "kerastudy.requests", "kerastudy.supervisor"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)


def read_lines(folder):
    return [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]


def test_a_record_is_one_line_of_json(tmp_path):
    """Whatever its message holds; a traceback is a field."""
    with log_service(tmp_path, LogsSpec(), io.StringIO()):
        LOG.warning("two\nlines \x1b[31m and %s", "a value", extra={"study": "s", "trial": 3})
        try:
            int("why")
        except ValueError:
            LOG.exception("it failed")
    first, second = read_lines(tmp_path)
    assert first["message"] == "two\nlines \x1b[31m and a value"
    assert (first["level"], first["logger"], first["study"], first["trial"]) == ("warning", "kerastudy.test", "s", 3)
    assert first["time"].endswith("+00:00")
    assert "ValueError: invalid literal" in second["exception"]
    assert "\x1b" not in (tmp_path / LOG_FILE).read_text()


def test_a_terminal_gets_text_and_other_streams_json(tmp_path):
    """Text has no control character of a message, which could forge a line or change the terminal."""
    for stream in (Terminal(), io.StringIO()):
        with log_service(tmp_path, LogsSpec(), stream):
            LOG.warning("began\r\n\x1b[2Jforged", extra={"study": "s"})
        [line] = stream.getvalue().splitlines()
        if stream.isatty():
            assert line.endswith("warning began\\u000d\\u000a\\u001b[2Jforged  [study=s]")
        else:
            assert json.loads(line)["study"] == "s"


def test_levels_are_those_of_the_settings(tmp_path):
    """Of other libraries only warnings: their lines may hold addresses that are secret."""
    with log_service(tmp_path, LogsSpec(level="error"), io.StringIO()):
        LOG.warning("too small")
        LOG.error("large enough")
    with log_service(tmp_path, LogsSpec(level="debug"), io.StringIO()):
        LOG.debug("small")
        logging.getLogger("httpx").info("https://hooks.example.org/secret")
    assert [line["message"] for line in read_lines(tmp_path)] == ["large enough", "small"]


def test_files_are_renamed_at_their_size(tmp_path):
    """So many older ones are kept."""
    with log_service(tmp_path, LogsSpec(size=10_000, files=2), io.StringIO()):
        for _ in range(500):
            LOG.warning("x" * 100)
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["service.log", "service.log.1", "service.log.2"]
    assert all((tmp_path / name).stat().st_size <= 10_000 for name in files)


def test_a_request_is_a_line(service, tmp_path):
    """With its id, its caller, its study, the template of its route; without header, query or body."""
    ann = service.token("ann")
    with log_service(tmp_path, LogsSpec(), io.StringIO()):
        submit(service, ann, study_text("s"))
        answer = service.client.get("/v1/studies/s?secret=hush", headers={**ann, "X-Request-Id": "abc-1"})
        service.client.get("/healthz")
        service.client.get("/v1/me")
        lines = wait_for_lines(tmp_path, 3)
    shown = next(line for line in lines if line.get("request_id") == "abc-1")
    assert (shown["method"], shown["route"], shown["study"], shown["caller"]) == (
        "GET",
        "/v1/studies/{study}",
        "s",
        "ann",
    )
    assert shown["status"] == answer.status_code
    assert shown["bytes"] == len(answer.content)
    assert shown["duration_ms"] >= 0
    assert shown["caller_id"]
    assert lines[-1]["status"] == 401
    assert "caller" not in lines[-1]
    text = (tmp_path / LOG_FILE).read_text()
    assert "hush" not in text
    assert ann["Authorization"].split("_")[-1] not in text
    # Monitors poll.
    assert "healthz" not in text


def wait_for_lines(folder, count):
    """Return the lines of requests: each is written after its answer."""
    deadline = time.monotonic() + 120
    while True:
        lines = [line for line in read_lines(folder) if line["logger"] == "kerastudy.requests"]
        if len(lines) >= count or time.monotonic() > deadline:
            return lines
        time.sleep(0.01)


def test_a_record_within_a_request_names_it(service, tmp_path, monkeypatch):
    """What is logged while a request is handled, in a thread too, has its id."""
    ann = service.token("ann")

    def fail(*args, **kwargs):
        LOG.warning("on the way")
        raise RuntimeError("a defect")

    monkeypatch.setattr(service.study_service, "list_studies", fail)
    with log_service(tmp_path, LogsSpec(), io.StringIO()):
        address, headers = f"http://127.0.0.1:{service.port}/v1/studies", {**ann, "X-Request-Id": "abc-2"}
        answer = httpx.get(address, headers=headers, trust_env=False, timeout=120)
        [request] = wait_for_lines(tmp_path, 1)
    assert answer.status_code == request["status"] == 500
    within = [line for line in read_lines(tmp_path) if line["logger"] == "kerastudy.test"]
    assert [(line["request_id"], line["caller"]) for line in within] == [("abc-2", "ann")]


def test_records_of_a_supervisor_name_its_study(capsys):
    """Its process writes them to its standard error, which is a file in the study's folder."""
    with log_study("s"):
        LOG.info("trial ended", extra={"trial": 4})
    line = json.loads(capsys.readouterr().err)
    assert (line["study"], line["trial"], line["message"]) == ("s", 4, "trial ended")


def test_ends_of_trials_are_records(capsys):
    """With the trial's number, and as warnings where it failed."""
    with log_study("s"):
        log_event(TrialEnded(4, "failed", None, "its loss is nan", 1.0, is_best=False))
        log_event(TrialTriedAgain(5, {}, "its worker died", 2, 3))
        log_event(TrialEnded(6, "complete", 0.5, "", 1.0, is_best=True))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["study"], line["trial"], line["level"], line["message"]) for line in lines] == [
        ("s", 4, "warning", "trial ended, failed: its loss is nan"),
        ("s", 5, "warning", "attempt 2 of 3 begins: its worker died"),
        ("s", 6, "info", "trial ended, complete"),
    ]
