"""Places of workers on GPUs: how many there are, what each one's process sees, and the line that states it."""

from __future__ import annotations

import pytest
from fake_gpus import FakeGpus, make_gpus, make_slices

from pipelines.engines.gpus.places import choose_gpus
from search_spaces.errors import InputError

GB = 10**9


def choose(gpus_per_worker, gpus, devices=1, **environ):
    return choose_gpus(gpus_per_worker, FakeGpus(gpus), environ, devices=devices)


def test_each_visible_gpu_has_a_worker_by_default():
    """Left out, resources.gpus gives each worker one GPU, by a name that is the same in every order."""
    places = choose(None, make_gpus(2)).places
    assert places.room == 2
    seen = [place.make_environment()["CUDA_VISIBLE_DEVICES"] for place in places.places]
    assert seen == ["GPU-a0", "GPU-b1"]
    assert places.describe() == "2 GPUs (NVIDIA A100-SXM4-80GB): 1 trial on each (resources.gpus)"


def test_a_machine_without_gpus_is_left_as_it_is():
    """Nothing is set, hidden or stated where there is no GPU, or the environment hides all."""
    for choice in (choose(None, ()), choose(None, make_gpus(2), CUDA_VISIBLE_DEVICES="")):
        assert (choice.places, choice.hides, choice.text) == (None, False, "")


def test_zero_hides_the_gpus_and_states_it():
    """resources.gpus: 0 trains on the CPU beside GPUs, with a line that names the key."""
    choice = choose(0, make_gpus(1))
    assert (choice.places, choice.hides) == (None, True)
    assert choice.text == "1 GPU found, none is used: resources.gpus is 0"
    assert not choose(0, ()).hides


def test_a_share_lets_workers_share_a_gpu():
    """A quarter of a GPU for each worker makes four workers on each, and limits JAX to a quarter of the memory."""
    places = choose(0.25, make_gpus(2)).places
    assert places.room == 8
    assert places.places[0].make_environment() == {
        "CUDA_VISIBLE_DEVICES": "GPU-a0",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.225",
    }
    assert places.share_bytes == 18 * GB


def test_several_gpus_for_a_worker_go_together():
    """Two GPUs for each worker make two workers of five GPUs, and the line has the one left over."""
    places = choose(2, make_gpus(5)).places
    assert [place.make_environment()["CUDA_VISIBLE_DEVICES"] for place in places.places] == [
        "GPU-a0,GPU-b1",
        "GPU-c2,GPU-d3",
    ]
    expected = "5 GPUs (NVIDIA A100-SXM4-80GB): 2 for each worker, 1 left over (resources.gpus)"
    assert places.describe() == expected


@pytest.mark.parametrize(
    ("each", "gpus", "environ", "message"),
    [
        (1, (), {}, "expected 1 GPU for each worker, got none on this machine; write 0 for the CPU"),
        (0.5, (), {}, "expected 1 GPU for each worker, got none"),
        (4, make_gpus(2), {}, "expected 4 GPUs for each worker, got 2 GPUs on this machine"),
        (1, make_gpus(2), {"CUDA_VISIBLE_DEVICES": "-1"}, "on this machine, where CUDA_VISIBLE_DEVICES is '-1'"),
        (2, make_slices(0, 4), {}, "CUDA gives a process one slice of a GPU (MIG), got 2; write 1"),
    ],
)
def test_too_few_gpus_are_refused(each, gpus, environ, message):
    """A number in the study file that cannot be had is an error, with what there is and what to write."""
    with pytest.raises(InputError) as raised:
        choose(each, gpus, **environ)
    assert message in str(raised.value)
    assert raised.value.problems[0].path == "resources.gpus"


@pytest.mark.parametrize(
    ("trial_bytes", "cores", "rooms"),
    [
        (4 * GB, 64, [4, 2]),  # 7 GB needed: 10 and 2 would fit; four at most
        (20 * GB, 64, [2, 1]),
        (200 * GB, 64, [1, 1]),  # it is tried, one at a time
        (4 * GB, 4, [2, 2]),  # a core for each trial
        (4 * GB, 1, [1, 1]),
        (0, 64, [1, 1]),  # unknown
    ],
)
def test_predicted_memory_decides_how_many_trials_share_a_gpu(trial_bytes, cores, rooms):
    """Each GPU takes as many trials as its memory has room for, and the machine a core."""
    gpus = (*make_gpus(1), *make_gpus(2, memory_bytes=16 * GB)[1:])
    places = choose(None, gpus).places
    places.share(trial_bytes, cores)
    assert [place.room for place in places.places] == rooms


def test_a_share_that_the_study_file_sets_stays():
    """Predicted memory changes nothing where a person has decided."""
    places = choose(0.5, make_gpus(1)).places
    places.share(79 * GB, 64)
    assert places.room == 2


def test_the_line_states_the_reason():
    """The line has the predicted memory that decided."""
    places = choose(None, make_gpus(1)).places
    places.share(10 * GB, 64)
    assert places.describe() == (
        "1 GPU (NVIDIA A100-SXM4-80GB): 4 trials on each, the largest model takes about 16.0 GB of 80.0 GB "
        "(resources.gpus)"
    )


def test_a_gpu_out_of_memory_takes_fewer_trials():
    """Each lack of memory takes one place from that GPU alone, down to one."""
    places = choose(1 / 3, make_gpus(2)).places
    assert places.reduce(0) == "GPU GPU-a0 takes 2 trials at a time from now on; resources.gpus sets that"
    assert "1 trial at a time" in places.reduce(0)
    assert places.reduce(0) == ""
    assert [place.room for place in places.places] == [1, 3]


def test_a_share_too_small_for_the_largest_model_is_stated():
    """A chosen share stays, and the line says that trials of the largest model may lack memory."""
    places = choose(0.25, make_gpus(1)).places
    places.share(20 * GB, 64)
    assert "4 trials on each, the largest model takes about 31.0 GB, and a worker has 18.0 GB" in places.describe()


@pytest.mark.parametrize(("devices", "rooms", "left"), [(2, 2, 1), ("all", 1, 0), (5, 1, 0)])
def test_a_worker_has_the_gpus_that_a_trial_trains_on(devices, rooms, left):
    """Where only resources.devices is set, each worker gets as many GPUs."""
    places = choose(None, make_gpus(5), devices).places
    assert places.room == rooms
    assert ("left over" in places.describe()) == bool(left)


def test_more_devices_than_gpus_are_refused():
    """The message names both ways out; without any GPU the CPU is divided, and nothing is refused."""
    with pytest.raises(InputError, match=r"got 1 GPU on this machine; write 1, or set resources\.gpus: 0"):
        choose(None, make_gpus(1), 2)
    assert choose(None, (), 2).places is None
    assert choose(0, make_gpus(1), 2).places is None
