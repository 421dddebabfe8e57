"""Failpoints: registered in one list, hit by name, once or at the nth time."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from command import environment

from tracking.testing import failpoints

ROOT = Path(__file__).parents[3]
KILLED = -signal.SIGKILL


def test_each_failpoint_in_the_code_is_registered():
    """`FAILPOINTS` lists every failpoint in the code, and no other."""
    found = {
        name
        for package in ("pipelines", "tracking")
        for file in (ROOT / package).rglob("*.py")
        for name in re.findall(r'\bhit\("([a-z-]+)"\)', file.read_text(encoding="utf-8"))
    }
    assert found == set(failpoints.FAILPOINTS)


def run_until_killed(wanted, times, tmp_path):
    """Hit a failpoint several times in a process; return its exit status and how often it got past."""
    code = (
        "from tracking.testing.failpoints import hit\n"
        f"for time in range({times}):\n"
        "    hit('trial-drawn'); hit('trial-reported'); print('past', flush=True)\n"
    )
    env = environment(KERASTUDY_FAILPOINTS=wanted, KERASTUDY_FAILPOINTS_ONCE=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.count("past"), done.stderr


def test_a_process_dies_at_the_nth_time_and_once(tmp_path):
    """`name:n` counts; a failpoint that has killed kills no further process."""
    assert run_until_killed("trial-reported:3", 5, tmp_path)[:2] == (KILLED, 2)
    assert run_until_killed("trial-reported:3", 5, tmp_path)[:2] == (0, 5)
    assert [file.name for file in tmp_path.iterdir()] == ["trial-reported"]
    assert run_until_killed("trial-reported,trial-drawn:2", 5, tmp_path)[:2] == (KILLED, 1)


def test_an_unknown_failpoint_is_named(tmp_path):
    """A typo in a failpoint's name fails; it must not pass because nothing was killed."""
    status, _, output = run_until_killed("trial-reproted", 1, tmp_path)
    assert status == 1
    assert "no failpoint 'trial-reproted'" in output
