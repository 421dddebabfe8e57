"""The rule for further attempts at a job whose worker was lost."""

from __future__ import annotations

import pytest

from pipelines.engines.attempts import RetryPolicy
from pipelines.engines.base import Failed


@pytest.mark.parametrize(
    ("kind", "spent_s", "retried"),
    [
        ("died", [1.0], True),
        ("memory", [1.0, 1.0], True),
        ("died", [1.0, 1.0, 1.0], False),
        ("error", [1.0], False),
        ("time", [6.0, 4.0], False),
    ],
)
def test_a_lost_worker_is_replaced_within_the_limits(kind, spent_s, retried):
    """Errors of code, the last attempt and the end of the shared time allow no further attempt."""
    policy = RetryPolicy(3, time_s=10.0)
    assert policy.allows_retry(Failed("job", kind, "reason"), spent_s) == retried


def test_without_a_time_limit_only_the_attempts_count():
    """Each attempt may take as long as its job allows."""
    assert RetryPolicy(2).allows_retry(Failed("job", "time", "reason"), [1e6])
