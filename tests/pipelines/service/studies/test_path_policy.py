"""What a study over HTTP may name: nothing outside the operator's folders and list, however it is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.service.config import ServiceSpec
from pipelines.service.studies.path_policy import confine_paths
from search_spaces.errors import InputError
from search_spaces.yaml_reader import parse_document

SECRET = "secret.csv"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of data with links inwards and outwards, uploads, code, and secrets beside all of them."""
    top = tmp_path_factory.mktemp("place")
    for folder in ("data/inner", "uploads", "code", "outside"):
        (top / folder).mkdir(parents=True)
    for file in ("data/a.csv", "data/inner/b.csv", "uploads/f00.csv", "code/model.py", f"outside/{SECRET}", SECRET):
        (top / file).write_text("x\n1\n")
    (top / "data" / "out.csv").symlink_to(top / "outside" / SECRET)
    (top / "data" / "outdir").symlink_to(top / "outside")
    (top / "data" / "in.csv").symlink_to(top / "data" / "a.csv")
    return top


@pytest.fixture(scope="module")
def spec(place):
    return ServiceSpec(data=[str(place / "data")], code=[f"{place}/code/model.py:build"])


def confine(place, spec, source="a.csv", model="mlp", space="{}"):
    text = f"study: s\ndata: {{source: {source!r}}}\nmodel: {model!r}\nspace: {space}\n"
    return confine_paths(parse_document(text, "s.yaml"), spec, place / "uploads").data


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("a.csv", "data/a.csv"),
        ("inner/../a.csv", "data/a.csv"),
        ("inner/b.csv", "data/inner/b.csv"),
        ("in.csv", "data/a.csv"),
        ("uploads/f00.csv", "uploads/f00.csv"),
    ],
)
def test_what_lies_below_is_found(place, spec, written, file):
    """The full, resolved path is what is stored."""
    assert confine(place, spec, written)["data"]["source"] == str(place / file)


def test_a_full_path_below_will_do(place, spec):
    """A study that the operator wrote for the command line works too."""
    assert confine(place, spec, str(place / "data" / "a.csv"))["data"]["source"] == str(place / "data" / "a.csv")


@pytest.mark.parametrize(
    "written",
    [
        f"../{SECRET}",
        f"inner/../../{SECRET}",
        "out.csv",
        f"outdir/{SECRET}",
        f"uploads/../{SECRET}",
        f"uploads/../outside/{SECRET}",
        "/etc/passwd",
        "..",
        ".",
        "",
        "uploads",
        "uploads/",
        "no\0name.csv",
        "a" * 5000,
        "~/x.csv",
        "file:/etc/passwd.csv",
    ],
)
def test_nothing_else_is(place, spec, written):
    """Dots, links, full paths and impossible names get the same answer, which does not show what exists."""
    text = parse_document("study: s\ndata: {source: x}\nmodel: mlp\n", "s.yaml")
    document = text.replace_value(("data", "source"), written, "s.yaml")
    with pytest.raises(InputError, match="this service has no data called") as refused:
        confine_paths(document, spec, place / "uploads")
    assert "secret" not in str(refused.value).replace(written, "")


def test_lists_and_patterns(place, spec):
    """Each file of a list, and each that fits a pattern, is resolved and checked by itself."""
    data = place / "data"
    assert confine(place, spec, ["a.csv", "inner/b.csv"])["data"]["source"] == [f"{data}/a.csv", f"{data}/inner/b.csv"]
    assert confine(place, spec, "inner/*.csv")["data"]["source"] == f"{data}/inner/b.csv"
    for written in (["a.csv", f"../{SECRET}"], "*.csv", f"../*{SECRET[-8:]}", str(place / "*.csv"), "outdir/*.csv"):
        with pytest.raises(InputError, match="this service has no data called"):
            confine(place, spec, written)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(["..", ".", "", "inner", "outdir", "out.csv", "a.csv", SECRET, "outside", "uploads"])))
def test_no_walk_leads_out(place, spec, steps):
    """Whatever is taken lies below the data folder or the uploads, once every link is followed."""
    try:
        source = confine(place, spec, "/".join(steps))["data"]["source"]
    except InputError:
        return
    real = Path(os.path.realpath(source))
    assert any(real.is_relative_to(place / root) for root in ("data", "uploads"))


@pytest.mark.parametrize("written", ["sklearn:digits", "keras:mnist"])
def test_named_sets_are_left_alone(place, spec, written):
    """They are no files of this machine's people."""
    assert confine(place, spec, written)["data"]["source"] == written


def test_code_is_what_the_operator_listed(place, spec):
    """By the end of its path or in full; a function beside it is refused, and so is a loader."""
    full = f"{place}/code/model.py:build"
    assert confine(place, spec, model="model.py:build")["model"] == full
    assert confine(place, spec, model=full)["model"] == full
    for other in ("model.py:other", "other.py:build", "../code/model.py:build", "/etc/model.py:build", "l.py:build"):
        with pytest.raises(InputError, match="not on this service's list of code"):
            confine(place, spec, model=other)
    with pytest.raises(InputError, match="not on this service's list of code"):
        confine(place, spec, source="loader.py:load")


def test_an_ambiguous_end_is_refused(place):
    """Two entries with the same end need more of their paths."""
    spec = ServiceSpec(code=["/a/m.py:build", "/b/m.py:build"])
    with pytest.raises(InputError, match="several times"):
        confine(place, spec, source="sklearn:digits", model="m.py:build")


@pytest.mark.parametrize("written", ["other.yaml", "/etc/space.yaml", "[mlp, ../x.json]"])
def test_only_shipped_spaces_are_extended(place, spec, written):
    """A space in a file would be read from this machine."""
    with pytest.raises(InputError, match=r"s\.yaml:4:\d+: space\.extends.*only shipped spaces"):
        confine(place, spec, space=f"{{extends: {written}}}")
    assert confine(place, spec, space="{extends: mlp}")["space"] == {"extends": "mlp"}


def test_everything_refused_is_said_at_once(place, spec):
    """With its place in the file that was sent."""
    with pytest.raises(InputError) as refused:
        confine(place, spec, source="x.csv", model="m.py:f", space="{extends: y.yaml}")
    assert [problem.place.line for problem in refused.value.problems] == [2, 3, 4]


def test_a_file_of_weights_lies_in_the_data_folders(place, spec):
    """Weights are found and refused as data is, and never as a pattern."""
    head = "study: s\ndata: {source: a.csv}\nmodel: transfer\ntraining: {weights: "
    found = confine_paths(parse_document(f"{head}inner/b.csv}}\n", "s.yaml"), spec, place / "uploads").data
    assert found["training"]["weights"] == str(place / "data" / "inner" / "b.csv")
    for written in ("../secret.csv", "out.csv", "'*.csv'"):
        with pytest.raises(InputError, match=r"training.weights: this service has no data called"):
            confine_paths(parse_document(f"{head}{written}}}\n", "s.yaml"), spec, place / "uploads")


@pytest.mark.parametrize("address", ["other:6379", "auto", "ray://head:10001"])
def test_only_listed_clusters_are_named(place, address):
    """A cluster runs code in the process that connects to it, so the operator lists those that studies may use."""
    text = "study: s\ndata: {source: a.csv}\nmodel: mlp\nresources: {engine: ray, address: %r}\n"
    spec = ServiceSpec(data=[str(place / "data")], ray=["head:6379"])
    listed = confine_paths(parse_document(text % "head:6379", "s.yaml"), spec, place / "uploads")
    assert listed.data["resources"]["address"] == "head:6379"
    with pytest.raises(InputError, match=r"s\.yaml:4:35: resources\.address: .* is not on this service's list of Ray"):
        confine_paths(parse_document(text % address, "s.yaml"), spec, place / "uploads")


def test_addresses_are_refused_unless_their_beginning_is_allowed(place, spec):
    """A study must not make the service read from addresses that only the service reaches."""
    inside = "http://169.254.169.254/latest/meta-data/role.csv"
    for written in (inside, "s3://other/a.csv", "http://127.0.0.1:8080/v1/a.csv"):
        with pytest.raises(InputError, match="this service reads no addresses"):
            confine(place, spec, written)
    allowing = ServiceSpec(data=spec.data, urls=["s3://open/train/", "https://data.example.org"])
    assert confine(place, allowing, "s3://open/train/*.csv")["data"]["source"] == "s3://open/train/*.csv"
    for written in (inside, "s3://open/train/../private/a.csv", "https://data.example.org.evil.org/a.csv"):
        with pytest.raises(InputError, match="reads addresses below s3://open/train/, https://data"):
            confine(place, allowing, written)
    with pytest.raises(InputError, match="credentials stand in the s3:// address") as refused:
        confine(place, allowing, "s3://key:hunter2@open/train/a.csv")
    assert "hunter2" not in str(refused.value)
