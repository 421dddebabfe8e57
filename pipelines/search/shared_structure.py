"""Structure that the trials of a row share, so that they train in one program: `search.share_structure`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial

from pipelines.search.trial_summaries import takes_up_budget


def find_shared_structure(trials: Sequence[FrozenTrial], share: int) -> dict[str, Any]:
    """Return the values that the next trial shares with the first one of its row of `share` trials.

    All but real numbers are shared. The first trial of a row shares nothing, nor does any in rows of one.
    """
    row = [trial for trial in trials[len(trials) // share * share :] if takes_up_budget(trial)]
    if share == 1 or not row:
        return {}
    leader = row[0]
    return {
        name: value
        for name, value in leader.params.items()
        if not isinstance(leader.distributions[name], FloatDistribution)
    }
