"""Programs that a whole study compiles: two functions for each program of its plan, and no others."""

from __future__ import annotations

import pytest
from command import kerastudy
from fault_studies import STUDY, write_study

from pipelines.workspace.home import PROGRAMS


@pytest.mark.long
def test_a_study_compiles_its_program_once(tmp_path):
    """A last fleet with a free slot, paused trials that go on, and finalists that train again need no other program."""
    text = STUDY.replace("pruner: none", "pruner: asha").replace("epochs: 4", "epochs: 9")
    text = text.replace("workers: 1, fleet: off", "workers: 2, fleet: 2").replace("trials: 6", "trials: 5")
    file = write_study(tmp_path, text + "selection: {finalists: 2, seeds: 1}\n")
    done = kerastudy("--home", tmp_path / "home", "run", file, cwd=tmp_path, **{PROGRAMS: str(tmp_path / "programs")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "paused" in done.stdout
    logs = {log.stem for log in (tmp_path / "home/studies/it").glob("fleet-*.log")}
    assert any("seed" in name for name in logs), f"a finalist trained again: {logs}"
    compiled = [*(tmp_path / "programs").rglob("*.program")]
    assert len(compiled) == 2, f"the steps and the scores of one program: {compiled}"
