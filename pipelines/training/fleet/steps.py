"""Division of an epoch's batches into the steps that all trials of a fleet do together.

A step goes over as many rows as the smallest batch among the trials. A larger batch takes several steps, whose
gradients add up until its last one, where the optimizer acts. So trials with batches of 16 and of 256 rows share a
program, and neither waits for the other. Batch normalisation needs a batch's rows at once: there a step is as large as
the largest batch, and a smaller one leaves places empty.
"""

from __future__ import annotations

import math

from pipelines.training.fleet.envelope import Envelope

_LEAST_ROWS = 16  # fewer are no cheaper


def count_step_rows(envelope: Envelope) -> int:
    """Return the most rows of a step."""
    if envelope.normalized:
        return envelope.batch
    return min(envelope.batch, max(envelope.least_batch, _LEAST_ROWS))


def count_steps(batch_size: int, rows: int, step_rows: int) -> int:
    """Return the number of steps in an epoch of a trial."""
    whole, rest = divmod(rows, batch_size)
    return whole * math.ceil(batch_size / step_rows) + math.ceil(rest / step_rows)


def count_most_steps(envelope: Envelope, rows: int) -> int:
    """Return the number of steps in an epoch of the trial that takes most."""
    step_rows = count_step_rows(envelope)
    # Not monotonic in the batch size: the last step of a batch may be nearly empty.
    return max(count_steps(size, rows, step_rows) for size in range(envelope.least_batch, envelope.batch + 1))
