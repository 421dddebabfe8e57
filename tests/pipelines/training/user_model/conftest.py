"""Jobs of user models on a few pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import guides
import pytest
from user_model_jobs import HEAD

from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import TrialJob, UserModel

GUIDES = Path(guides.__file__)


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """Time for a check beyond what it takes on a loaded machine."""
    monkeypatch.setattr("pipelines.training.user_model.short_training.LONGEST_S", 600.0)


@pytest.fixture(scope="module")
def digits(prepare_data):
    """Prepared data: 8 x 8 pictures, few enough to train on in a moment."""
    return prepare_data("any", source="sklearn:digits", split={"validation": 0.1, "test": 0.1, "seed": 1})


@pytest.fixture
def job(digits, tmp_path):
    """Return a function that makes a job of the model that a file's text, or a guide, defines."""

    def make(model, text="", *, declared=(), requested=(), searches=True, values=None, **changes):
        base = GUIDES.parent
        if text:
            base = tmp_path
            (tmp_path / "model.py").write_text(HEAD + text if not text.startswith("import") else text)
        names = frozenset({*declared, *(values or {})})
        plain = TrialJob(
            study="it",
            number=3,
            values=values or {},
            per_layer=frozenset(),
            seed=11,
            model=f"{'model' if text else 'guides'}.py:{model}",
            training=TrainingSpec(early_stopping=None),
            data=str(digits),
            folder=str(tmp_path / "trial"),
            metric="val_loss",
            direction="minimize",
            rungs=frozenset(),
            user_model=UserModel(
                str(base), names, frozenset(requested), searches, bounds={n: (v,) for n, v in (values or {}).items()}
            ),
        )
        return replace(plain, **changes)

    return make
