"""optuna-dashboard on a home's store, as the extra `dashboard` installs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from small_studies import space_of

from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import SearchSpec
from pipelines.study.objective import Objective
from tracking.store.database import Store

PROGRAM = Path(sys.executable).with_name("optuna-dashboard")
SETTINGS = SearchSettings(
    space_of(rate={"type": "float", "low": 1e-4, "high": 1.0, "log": True}),
    Objective("val_loss", "minimize"),
    SearchSpec(sampler="random", pruner="asha", seed=1),
    10,
)


def end(search, number, state, value, **facts):
    summary = TrialSummary(number, state, value, {}, best_epoch=1, seconds=1.0, epochs=2, **facts)
    (search.pause if state == "paused" else search.tell)(summary)


@pytest.mark.long
@pytest.mark.skipif(not PROGRAM.exists(), reason="needs the extra dashboard")
def test_it_shows_a_study_with_its_paused_and_pruned_trials(tmp_path):
    """Optuna's tables of the store are all it needs, while the study is unfinished; it changes nothing in them."""
    with Store.open(str(tmp_path)) as store:
        search = OptunaSearch(store.open_optuna_storage(), "it", SETTINGS)
        states = ("complete", "pruned", "failed", "paused")
        for state, value in zip(states, (0.5, 0.7, None, 0.6), strict=True):
            number, _ = search.ask()
            for epoch in (1, 2):
                search.report_epoch(number, epoch, 0.9 / epoch)
            end(search, number, state, value)
        search.ask()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [PROGRAM, "--server", "wsgiref", "--port", str(port), f"sqlite:///{tmp_path}/kerastudy.db"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            (study,) = json.loads(fetch(f"{address}/api/studies"))["study_summaries"]
            shown = json.loads(fetch(f"{address}/api/studies/{study['study_id']}?after=0"))
            page = fetch(f"{address}/dashboard/")
        finally:
            server.terminate()
    assert (study["study_name"], study["directions"]) == ("it", ["minimize"])
    assert "<html" in page
    trials = [(trial["state"], trial.get("values")) for trial in shown["trials"]]
    assert trials == [("Complete", [0.5]), ("Pruned", [0.45]), ("Fail", None), ("Running", None), ("Running", None)]
    paused = shown["trials"][3]
    assert [point["step"] for point in paused["intermediate_values"]] == [1, 2]
    (note,) = [each["value"] for each in paused["user_attrs"] if each["key"] == "kerastudy:paused"]
    assert "paused" in note


def fetch(url):
    """Return what a server answers, once it listens."""
    ended = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.read().decode()
        except urllib.error.URLError:
            if time.monotonic() > ended:
                raise
            time.sleep(0.2)
