"""Choice of the trials that train together, and of the number of fleets and slots."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
from desk import FILE, SUMMARY, scores
from fake_engine import FakeEngine
from small_studies import study_of

from pipelines.data.prepared import Features
from pipelines.supervisor.fleet_eligibility import find_ineligible_reason
from pipelines.supervisor.fleet_planner import FleetPlanner
from search_spaces.suggest import suggest

MEMORY = 10**10


@pytest.fixture(autouse=True)
def _skip_plots(monkeypatch):
    """Leave the report unwritten: its pictures take longer than the studies here."""
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())


def study(space="", *, resources="fleet: 4", extra=""):
    return study_of(
        "study: it\ndata: {source: data.csv, target: y}\nmodel: mlp\n"
        f"space: {{epochs: 3{space}}}\nresources: {{{resources}}}\n{extra}"
    )


def make_planner(study, *, trials=50, workers=2, summary=SUMMARY, memory=MEMORY, learns=True, gpu=None, time=None):
    return FleetPlanner(
        study, summary, trials=trials, workers=workers, memory_bytes=memory, learns=learns, gpu_bytes=gpu, time_s=time
    )


# Who trains together -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (study(resources="fleet: off"), "resources.fleet is off"),
        (study(extra="training: {loss: dice}\n"), "whole batch"),
        (study(extra="limits: {model_memory: 1GB}\n"), "limits.model_memory"),
        (study(resources="devices: 2"), "resources.devices is 2"),
        (study(", optimizer: [lamb, muon]"), "each weight by itself"),
        (study(resources="fleet: auto", extra="budget: {trials: 1}\n"), "one by one"),
    ],
    ids=["off", "loss", "memory", "devices", "optimizers", "few"],
)
def test_a_study_without_fleets_has_a_reason(made, reason):
    """Where no trial can train in a fleet, or none should, the reason is known."""
    found = make_planner(made, trials=made.spec.budget.trials)
    assert reason in found.ineligible_reason
    assert reason in found.describe()
    found.add(0, {"epochs": 3})
    assert found.choose_fleet() is None
    assert found.pop_single() == ((0, {"epochs": 3}), found.ineligible_reason)


@pytest.mark.parametrize(
    ("time", "planned"),
    [
        (1.0, "each trial by itself: budget.time is expected to end before"),
        (12.0, "2 fleets at once: up to 4 x 512 units"),
        (10_000.0, "2 fleets at once: up to 4 x 16 units"),
        (None, "2 fleets at once: up to 4 x 16 units"),
    ],
)
def test_the_time_of_a_study_bounds_its_programs(time, planned):
    """Programs that are compiled when the time is over would leave nothing for training."""
    made = study(", units: [16, 512], depth: 4", resources="fleet: auto", extra="budget: {trials: 1000}\n")
    rows = replace(SUMMARY, rows={"train": 1500, "validation": 4, "test": 0})
    assert planned in make_planner(made, trials=1000, time=time, summary=rows).describe()


def test_folds_and_large_data_train_alone():
    """Each fold has other data, and data beyond memory is read batch by batch."""
    assert "fold" in make_planner(study(), summary=replace(SUMMARY, folds=3)).ineligible_reason
    many = replace(SUMMARY, rows={"train": 10**9, "validation": 4, "test": 0})
    assert "memory" in make_planner(study(), summary=many).ineligible_reason


def test_other_families_and_code_train_alone():
    """Only the families `mlp` and `cnn` have programs."""
    assert find_ineligible_reason(study()) == ""
    assert "mlp and cnn" in find_ineligible_reason(
        study_of("study: it\ndata: {source: sklearn:digits}\nmodel: tabular\n")
    )


PLAIN_BLOCKS = "kernel_size: 3, global_pooling: flatten, dense_units: 0, blocks: [1, 2], filters: [8, 32], epochs: 9"


def convolutions(further=""):
    space = f"{{{PLAIN_BLOCKS}{further}}}"
    return study_of(
        f"study: it\ndata: {{source: sklearn:digits}}\nmodel: cnn\nspace: {space}\nbudget: {{trials: 99}}\n"
    )


@pytest.mark.parametrize(
    ("further", "named"),
    [
        ("", ""),
        (", residual: [true, false]", "residual: false"),
        (", rotation: {type: float, low: 0.0, high: 0.1}", "rotation: 0"),
        (", separable: true", "separable: false"),
        (", pooling: [average, stride], convolutions_per_block: [1, 2]", ""),
    ],
)
def test_blocks_of_convolutions_train_in_fleets(further, named):
    """The space decides, and the reason names the hyperparameter and the value that fleets have."""
    reason = find_ineligible_reason(convolutions(further))
    assert named in reason
    assert bool(reason) == bool(named)


IMAGES = replace(SUMMARY, features=Features(image=(8, 8, 1)))


def test_the_space_that_ships_trains_in_fleets():
    """Trials whose images halve in the same way share a program, so a study has one for each way at least."""
    found = make_planner(
        study_of("study: it\ndata: {source: sklearn:digits}\nmodel: cnn\n"), summary=IMAGES, trials=200
    )
    values = {"blocks": 2, "filters": 16, "batch_size": 64, "batch_normalization": True, "epochs": 30}
    kinds = [
        found.find_program({**values, "pooling": pooling, "convolutions_per_block": count, "kernel_size": size})[0]
        for pooling in ("max", "average", "stride")
        for count in (1, 2)
        for size in (3, 5)
    ]
    assert [kind.strided for kind in kinds] == [0] * 8 + [1, 1, 2, 2]


def test_no_trial_of_the_space_that_ships_needs_a_further_program():
    """The sample has few trials of some kinds; each kind's programs hold the space's largest and smallest trials."""
    made = study_of("study: it\ndata: {source: sklearn:digits}\nmodel: cnn\nresources: {fleet: 2}\n")
    found = make_planner(made, summary=IMAGES, trials=200)
    planned = found.describe()
    drawer = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=5))
    for _ in range(200):
        found.find_program(suggest(made.space, drawer.ask()))
    assert found.describe() == planned


def test_the_plan_of_convolutions_counts_filters():
    """The line that a run prints has the blocks and the filters of its programs."""
    found = make_planner(convolutions(), summary=IMAGES, trials=99)
    assert "filters" in found.describe(), found.describe()
    values = {"blocks": 2, "filters": 32, "kernel_size": 3, "global_pooling": "flatten", "epochs": 9}
    assert found.find_program(values)[0].kernel_sizes == (3,)
    # Of an earlier space of the study, say.
    assert found.find_program({**values, "kernel_size": 5})[0].kernel_sizes == (3, 5)
    assert found.find_program({**values, "pooling": "stride"})[0].poolings == ("stride",)


def test_a_trial_that_does_not_fit_goes_alone_and_the_others_together():
    """One optimizer that looks at whole layers keeps its trials out, and no others."""
    found = make_planner(study(", optimizer: [adam, lamb]"))
    found.add(0, {"epochs": 3, "optimizer": "lamb"})
    found.add(1, {"epochs": 3, "optimizer": "adam"})
    (trial, reason) = found.pop_single()
    assert trial[0] == 0
    assert "lamb" in reason
    envelope, _ = found.choose_fleet()
    assert [number for number, _ in found.take(envelope, 5)] == [1]


def test_a_trial_outside_the_sample_gets_a_new_program():
    """A trial that no program fits is not refused."""
    found = make_planner(study(", units: 16"))
    found.add(0, {"epochs": 3, "units": 700, "activation": "gelu"})
    envelope, slots = found.choose_fleet()
    assert envelope.width >= 700
    assert "gelu" in envelope.activations
    assert slots >= 1


def test_slots_follow_the_sampler_and_the_memory():
    """TPE has few trials under way, random search many, a number is taken as it is, and memory bounds all."""
    slots = {}
    for sampler in ("tpe", "random"):
        found = make_planner(study(resources="fleet: auto"), learns=sampler == "tpe")
        found.add(0, {"epochs": 3})
        slots[sampler] = found.choose_fleet()[1]
    assert slots["tpe"] < slots["random"]
    found = make_planner(study(resources="fleet: 64"))
    found.add(0, {"epochs": 3})
    assert found.choose_fleet()[1] == 64
    found = make_planner(study(resources="fleet: 64"), memory=10**6)
    found.add(0, {"epochs": 3})
    assert 1 <= found.choose_fleet()[1] < 64


def test_workers_beyond_the_fleets_that_pay_stay_idle(desk):
    """With `auto`, trials are not spread over more fleets than are worth their compiling."""
    engine = FakeEngine(scores(1.0), workers=4)
    desk.run(engine, trials=30, fleet="auto")
    assert len(engine.fleets) == 1


# Fleets that fail --------------------------------------------------------------------------------------------


def test_a_fleet_that_fails_is_divided():
    """Its trials wait for fleets of half the size, whose program is another one."""
    found = make_planner(study(), trials=50)
    trials = [(number, {"epochs": 3}) for number in range(4)]
    envelope, _ = found.find_program(trials[0][1])
    assert found.divide(envelope, trials, "died") == 0
    assert found.choose_fleet() == (envelope, 2)


def test_a_fleet_of_one_trial_keeps_its_program():
    """There is nothing to divide: its trial goes on from its checkpoint, and trains alone after a second failure."""
    found = make_planner(study(), trials=50)
    trial = (0, {"epochs": 3})
    envelope, slots = found.find_program(trial[1])
    assert found.divide(envelope, [], "died") == 0, "its last trial had ended"
    assert found.choose_fleet() is None
    assert found.divide(envelope, [trial], "died") == 0
    assert found.choose_fleet() == (envelope, slots)
    assert found.take(envelope, 4) == [trial]
    assert found.divide(envelope, [trial], "died") == 1
    assert found.pop_single() == (trial, "its fleet failed: died")


# On GPUs -----------------------------------------------------------------------------------------------------


def test_fleets_come_first_on_gpus():
    """The costs that a fleet is weighed by are a core's: on GPUs each worker has one, for however few trials."""
    made = study(resources="fleet: auto", extra="budget: {trials: 2}\n")
    assert make_planner(made, trials=2).ineligible_reason
    on_gpus = make_planner(made, trials=2, workers=4, gpu=10**10)
    assert on_gpus.describe().startswith("in 4 fleets at once")


@pytest.mark.parametrize(("trials", "gpu", "slots"), [(600, 10**10, 256), (50, 10**10, 25), (600, 10**5, 1)])
def test_a_random_search_fills_a_gpu(trials, gpu, slots):
    """A search that learns nothing from its trials has as many at once as there are, and as its GPU has room for."""
    made = study(resources="fleet: auto")
    _, chosen = make_planner(made, trials=trials, learns=False, gpu=gpu).find_program({"epochs": 3})
    assert chosen == slots


# What a training costs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trials", "time", "gpu", "ends"),
    [(1000, 15.0, None, True), (30, 36_000.0, None, False), (1000, None, None, False), (1000, 15.0, 10**10, False)],
    ids=["time", "trials", "no limit", "gpu"],
)
def test_the_time_is_expected_to_end_a_search_of_more_trials_than_it_has_room_for(trials, time, gpu, ends):
    """Neither a limit that is out of reach counts, nor a GPU, whose seconds the estimates are not of."""
    summary = replace(SUMMARY, rows={"train": 20_000, "validation": 4, "test": 0})
    made = study(", units: {type: int, low: 16, high: 256}")
    assert make_planner(made, trials=trials, time=time, gpu=gpu, summary=summary).ends_by_time is ends


def test_a_deeper_network_takes_longer():
    """The estimate of a training goes by its layers and epochs, and is greater where it trains in no fleet."""
    space = ", depth: {type: int, low: 1, high: 4}, optimizer: [adam, lamb]"
    planner = make_planner(study(space), summary=replace(SUMMARY, rows={"train": 2_000, "validation": 4, "test": 0}))
    plain = {"epochs": 3, "depth": 1, "optimizer": "adam"}
    for change in ({"depth": 4}, {"epochs": 6}, {"optimizer": "lamb"}):
        assert planner.estimate_training_s(plain | change) > planner.estimate_training_s(plain)


@pytest.mark.parametrize(
    ("sampler", "budget", "weighs"),
    [
        ("gp", "time: 7.1s", True),
        ("auto", "time: 7.1s", True),
        ("tpe", "time: 7.1s", False),
        ("gp", "time: 10h", False),
        ("gp", "time: 7.1s, improvement: 0.1", False),
    ],
)
def test_a_line_states_that_gains_count_by_their_seconds(desk, sampler, budget, weighs):
    """They do where time ends the search and `gp` proposes; the estimate of an improvement leaves its cost out."""
    text = FILE.format(
        fleet="auto", trials=100_000, pruner="none", sampler=sampler, budget=f", {budget}", keep=1, selection=""
    )
    engine = FakeEngine(scores([0.5, 0.4, 0.3]), test_scores={})
    started = next(iter(desk.supervisor(engine, study=study_of(text)).run()))
    assert ("for its seconds of training" in started.sampling) is weighs
