"""Summary of a study's hyperparameters: those of the space, and those that its code requests."""

from __future__ import annotations

from small_studies import study_of

from pipelines.study.space_summary import summarize_space
from search_spaces.hypermodel_request import HyperparameterRequest

REQUESTS = (
    HyperparameterRequest("units", "int", 4, low=4, high=8),
    HyperparameterRequest("units", "int", 16, low=16, high=64, step=2, sampling="log"),
    HyperparameterRequest("drop", "boolean", False),
    HyperparameterRequest("act", "choice", "relu", choices=("relu", "tanh")),
)


def summarize(space, requests=REQUESTS, model="model.py:build", search="{}"):
    study = study_of(
        f"study: it\ndata: {{source: d.csv, target: y}}\nmodel: {model}\nspace: {space}\nsearch: {search}\n"
    )
    return list(summarize_space(study, requests))


def test_what_the_code_requests_is_listed():
    """Each hyperparameter has its range and whether the space or the code declares it."""
    assert summarize("{act: [selu], epochs: 3}") == [
        "epochs  3 (space)",
        "units   Int from 4 to 8 or Int from 16 to 64 in steps of x 2, log",
        "drop    Boolean",
        "act     selu (space; in the code Choice of relu, tanh)",
        "the space has about 16 combinations, by what the check saw: the search ends when each was tried",
    ]


def test_what_is_fixed_is_listed_with_its_value():
    """Where undeclared hyperparameters are not searched, they are listed at the code's defaults."""
    assert summarize("{act: [relu, selu]}", search="{undeclared: fix}")[:3] == [
        "units  4 or 16 (fixed by search.undeclared; in the code Int from 4 to 8 or Int from 16 to 64 in steps of x 2, "
        "log)",
        "drop   false (fixed by search.undeclared; in the code Boolean)",
        "act    relu, selu (space; in the code Choice of relu, tanh)",
    ]


def test_a_family_s_space_is_listed_by_its_names():
    """The ranges of a family stand in the study file or are shipped; the number of combinations follows."""
    lines = summarize("{units: [8, 16], epochs: 2}", (), model="mlp")
    assert lines == ["units, epochs", "the space has 2 combinations: the search ends when each was tried"]
