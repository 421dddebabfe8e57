"""Groups of devices: how many there are, and what they cannot train."""

from __future__ import annotations

import pytest

from pipelines.training.parallel.device_group import OWN_FIT, find_obstacle, open_group, refuse_obstacle
from search_spaces.errors import InputError


class FakeGroup:
    """Two devices that cannot train the model `bad`."""

    count = 2

    def find_obstacle(self, model, rows):
        return "it is bad" if model == "bad" else ""


def test_one_device_is_no_group():
    """A trial on one device is trained as ever, also where `all` of its worker's devices are one."""
    assert open_group(1) is None
    assert open_group("all") is None


def test_more_devices_than_a_worker_has_are_refused():
    """The message has both numbers, and the key that gives a worker more."""
    with pytest.raises(InputError) as raised:
        open_group(3)
    [problem] = raised.value.problems
    assert problem.path == "resources.devices"
    assert problem.message == "expected 3 devices for each trial, got 1 in its worker; resources.gpus sets them"


@pytest.mark.parametrize(
    ("model", "batch_size", "reason"),
    [
        ("good", 32, ""),
        ("good", 33, "2 devices cannot share batches of 33 evenly"),
        ("good", 1, "2 devices cannot share batches of 1 evenly"),
        ("bad", 32, "it is bad"),
    ],
)
def test_a_trial_that_devices_cannot_share_trains_on_one(model, batch_size, reason):
    """The reason stands in the trial's log."""
    assert find_obstacle(FakeGroup(), model, None, batch_size) == reason


def test_a_model_that_devices_cannot_share_is_refused_at_the_check():
    """Its reason and what to write are known before the first trial."""
    refuse_obstacle(FakeGroup(), "good", None)
    with pytest.raises(InputError, match="2 devices cannot share the training of this model: it is bad; write 1"):
        refuse_obstacle(FakeGroup(), "bad", None)
    with pytest.raises(InputError, match=OWN_FIT):
        refuse_obstacle(FakeGroup(), "good", None, own_fit=True)
