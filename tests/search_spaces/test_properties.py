"""Whatever space is accepted round-trips and is drawn from truly; whatever is not is refused in words.

Spaces are generated as plain data, mostly sound ones: their parents exist and their bounds are ordered. Those that
still cannot be (a condition that can never hold) are refused by the parser, and count for the second half.
"""

from __future__ import annotations

import json
import warnings

import optuna
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from search_spaces.errors import InputError
from search_spaces.parse import parse_space, parse_space_dict
from search_spaces.space import Fixed, Space
from search_spaces.suggest import (
    ConstraintViolation,
    find_largest,
    find_smallest,
    generate_grid,
    make_distributions,
    make_optuna_point,
    suggest,
)
from search_spaces.yaml_reader import parse_document
from search_spaces.yaml_writer import to_yaml

PROPERTY = settings(deadline=None, derandomize=True, max_examples=120, suppress_health_check=[HealthCheck.too_slow])

CHOICE = (
    st.sampled_from(["relu", "> 1", "no", "", "null"]) | st.none() | st.booleans() | st.integers(0, 9) | st.just(0.5)
)


@st.composite
def floats(draw):
    low = draw(st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: round(value, 6)))
    written = {"type": "float", "low": low, "high": low + draw(st.sampled_from([1e-3, 0.7, 1, 33.3, 1e9]))}
    if draw(st.booleans()):
        written |= {"log": True, "low": draw(st.sampled_from([1e-30, 1e-5, 0.1])), "high": draw(st.floats(0.2, 1e4))}
        if draw(st.booleans()):
            written["step"] = draw(st.sampled_from([1.1, 1.5, 2, 2.0]))
    elif draw(st.booleans()):
        written["step"] = (written["high"] - low) / draw(st.sampled_from([1, 3, 10, 7.5, 1e6]))
    return written


@st.composite
def ints(draw):
    low = draw(st.integers(-100, 100))
    written = {"type": "int", "low": low, "high": low + draw(st.integers(1, 1000))}
    if draw(st.booleans()):
        written |= {"log": True, "low": abs(low) + 1, "high": 2 * abs(low) + draw(st.integers(2, 10**9))}
        written |= draw(st.sampled_from([{}, {"step": 2}]))
    elif draw(st.booleans()):
        written["step"] = draw(st.integers(1, written["high"] - low))
    return written


CATEGORICALS = st.lists(CHOICE, min_size=1, max_size=4).map(lambda choices: {"choices": choices})


@st.composite
def conditions(draw, parents):
    """Return a `when` on one of the parents, with a value that it may have or a comparison."""
    name = draw(st.sampled_from(sorted(parents)))
    written = parents[name]
    if "choices" in written:
        picked = draw(st.lists(st.sampled_from(written["choices"]), min_size=1, max_size=2))
        return {name: {draw(st.sampled_from(["in", "not in"])): picked}}
    limit = draw(st.sampled_from([written["low"], written["high"], (written["low"] + written["high"]) / 2]))
    return {name: {draw(st.sampled_from(["<", "<=", ">", ">="])): limit}}


@st.composite
def spaces(draw):
    written = {"depth": {"type": "int", "low": draw(st.integers(0, 1)), "high": draw(st.integers(2, 4))}}
    for index in range(draw(st.integers(0, 5))):
        parameter = draw(floats() | ints() | CATEGORICALS)
        if draw(st.booleans()):
            parameter["when"] = draw(conditions(written))
        if draw(st.integers(0, 3)) == 0:
            written[f"layered{index}"] = {**parameter, "repeat": "depth"}
        else:
            written[f"p{index}"] = parameter
    # Conditions are on parameters that are there by name: layered ones are not.
    assume(not any(parent.startswith("layered") for entry in written.values() for parent in entry.get("when", {})))
    numeric = [name for name, entry in written.items() if "low" in entry and "repeat" not in entry]
    if draw(st.booleans()):
        one, other = draw(st.sampled_from(numeric)), draw(st.sampled_from(numeric))
        written["constraints"] = [f"{one} <= {other} + 1 or {one} / {other} > 0.5"]
    return written


def accepted(written) -> Space:
    try:
        return parse_space_dict(written)
    except InputError as error:
        assert all(problem.path for problem in error.problems)
        assume(False)
        raise


@PROPERTY
@given(spaces())
def test_what_is_accepted_round_trips(written):
    """An accepted space is equal to what its own writing reads back to: as data, as YAML and as JSON."""
    space = accepted(written)
    assert parse_space_dict(space.to_dict()) == space
    assert parse_space_dict(parse_document(to_yaml(space.to_dict()), "s.yaml").data) == space
    assert parse_space_dict(parse_document(json.dumps(space.to_dict()), "s.json").data) == space


@PROPERTY
@given(spaces(), st.integers(0, 2**31 - 1))
def test_what_is_drawn_is_in_the_space(written, seed):
    """Drawn values lie in their domains, exist where conditions hold, keep constraints, and survive Optuna."""
    space = accepted(written)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(3):
        trial = study.ask()
        try:
            values = suggest(space, trial)
        except ConstraintViolation as violation:
            assert space.find_violations(violation.values) == violation.constraints
            continue
        check_point(space, values)
        study.enqueue_trial(make_optuna_point(space, values))
        assert suggest(space, study.ask()) == values


@PROPERTY
@given(spaces())
def test_the_ends_and_the_grid_are_in_the_space(written):
    """The grid's points and the extremes are points of the space, each of the grid's once."""
    space = accepted(written)
    points = [point for _, point in zip(range(20), generate_grid(space, resolution=2), strict=False)]
    for point in points:
        check_point(space, point)
    assert len({repr(point) for point in points}) == len(points)
    for point in (find_smallest(space), find_largest(space)):
        check_point(space, point, constrained=bool(points))


@PROPERTY
@given(spaces())
def test_optuna_takes_every_distribution(written):
    """Each searched parameter has a distribution, which Optuna takes without a warning."""
    space = accepted(written)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = make_distributions(space)
    searched = {name for name, parameter in space.parameters.items() if not isinstance(parameter, Fixed)}
    assert {name.removesuffix("#idx") for name in found} == searched


def check_point(space, values, constrained=True):
    assert tuple(values) == space.find_active(values)
    for name, value in values.items():
        assert space.parameters[name].contains(value), (name, value)
    if constrained:
        assert space.find_violations(values) == ()


KEYS = [
    *("type", "low", "high", "log", "step", "default", "when", "repeat", "choices", "value"),
    *("extends", "drop", "constraints", "start_from"),
]
WORDS = st.sampled_from([*KEYS, "a", "b", "a_1", "float", "int", "categorical", "fixed", "mlp", "in", ">="])
VALUES = (
    WORDS
    | st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.sampled_from(
        [10**400, 1e-4, 0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), "a < b", ">= 1", "1e-4", "no"]
    )
    | st.text(max_size=5)
)
ANYTHING = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5),
    max_leaves=25,
)


@settings(PROPERTY, max_examples=200)
@given(st.dictionaries(WORDS | st.text(max_size=3), ANYTHING, max_size=6))
def test_anything_is_a_space_or_refused(written):
    """Arbitrary data gives a space that round-trips and can be drawn from, or an InputError; nothing else."""
    try:
        space = parse_space_dict(written)
    except InputError as error:
        assert error.problems
        return
    assert parse_space_dict(space.to_dict()) == space
    make_distributions(space)
    check_point(space, find_smallest(space), constrained=False)


@settings(PROPERTY, max_examples=300)
@given(spaces(), st.data())
def test_a_sound_space_with_anything_in_one_place(written, data):
    """A space of which one value is replaced by arbitrary data is a space, or an InputError; nothing else."""
    holder, key = data.draw(st.sampled_from(list(places_in(written))))
    holder[key] = data.draw(ANYTHING)
    try:
        space = parse_space_dict(written)
    except InputError as error:
        assert error.problems
        return
    assert parse_space_dict(space.to_dict()) == space
    check_point(space, find_smallest(space), constrained=False)


def places_in(holder):
    """Yield each mapping or list inside, with each of its keys."""
    for key, inner in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        yield holder, key
        if isinstance(inner, (dict, list)):
            yield from places_in(inner)


@settings(PROPERTY, max_examples=200)
@given(st.text(alphabet="ab: {}[],typefloanhcse123.-\n\"'>=<", max_size=120))
def test_any_text_of_a_space_is_read_or_refused(text):
    """Arbitrary YAML below `space` gives a space or an InputError; nothing else."""
    try:
        document = parse_document("space:\n" + "\n".join(f"  {line}" for line in text.split("\n")), "s.yaml")
        parse_space(document)
    except InputError as error:
        assert all(problem.place is not None for problem in error.problems)
