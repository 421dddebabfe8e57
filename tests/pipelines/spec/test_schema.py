"""The study file's schema: defaults, immutability and descriptions."""

import pytest
from pydantic import BaseModel, ValidationError

from pipelines.spec.data_spec import SplitSpec
from pipelines.spec.schema import StudySpec


def test_three_keys_are_enough():
    """Everything but study, data and model has a default."""
    spec = StudySpec.model_validate({"study": "s", "data": {"source": "x.csv"}, "model": "mlp"})
    assert (spec.budget.trials, spec.search.sampler, spec.data.split.validation) == (30, "auto", 0.2)
    required = {name for name, field in StudySpec.model_fields.items() if field.is_required()}
    assert required == {"study", "data", "model"}


def test_a_spec_cannot_be_changed():
    """A study file's schema is frozen, whole and in parts."""
    spec = StudySpec.model_validate({"study": "s", "data": {"source": "x.csv"}, "model": "mlp"})
    with pytest.raises(ValidationError, match="frozen"):
        spec.budget.trials = 3


def test_every_key_has_a_description():
    """Each key of each section has a description, for the schema and the reference."""
    sections, seen = [StudySpec], set()
    while sections:
        section = sections.pop()
        seen.add(section.__name__)
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
            parts = [field.annotation, *getattr(field.annotation, "__args__", ())]
            sections += [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
    assert {"DataSpec", "SplitSpec", "ColumnSpec", "EarlyStoppingSpec", "ExportSpec"} <= seen


def test_folds_do_not_mix_rows_that_the_study_keeps_apart():
    """Finalists cannot be ranked over folds of rows whose validation rows the study names."""
    for data in ({"split": {"column": "part"}}, {"validation_source": "later.csv"}):
        document = {"study": "a", "model": "mlp", "data": {"source": "d.csv", "target": "y", **data}}
        with pytest.raises(ValidationError, match="folds would mix the rows that data"):
            StudySpec.model_validate({**document, "selection": {"finalists": 2, "folds": 3}})


def test_rows_are_divided_in_one_way():
    """An order and groups exclude each other."""
    with pytest.raises(ValidationError, match="expected one of order or group, got both; remove one"):
        SplitSpec.model_validate({"order": "day", "group": "shop"})


def test_user_models_keep_their_backend():
    """User code may need TensorFlow, so only the shipped families train on JAX."""
    study = {"study": "s", "data": {"source": "x.csv", "target": "y"}, "resources": {"backend": "jax"}}
    assert StudySpec.model_validate({**study, "model": "mlp"}).resources.backend == "jax"
    with pytest.raises(ValidationError, match="expected backend: tensorflow for a user model"):
        StudySpec.model_validate({**study, "model": "model.py:build"})


def test_selection_may_be_a_word():
    """`auto` is the default written out, for people and for the JSON Schema alike."""
    words = {"study": "s", "data": {"source": "d.csv"}, "model": "mlp"}
    written, left_out = StudySpec(**words, selection="auto"), StudySpec(**words)
    assert written.selection == left_out.selection
    assert written.model_dump() == left_out.model_dump()
    choices = StudySpec.model_json_schema(by_alias=True)["properties"]["selection"]["anyOf"]
    assert {"const": "auto", "type": "string"} in choices
