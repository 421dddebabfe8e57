"""The digest of what a model is loaded from; that of registered models is tested with promotions."""

from __future__ import annotations

from pipelines.selection.registered_files import compute_model_digest
from pipelines.training.messages import PastTrial


def test_the_digest_follows_model_code_and_data(tmp_path):
    """It stays while nothing changes, and each part that a model is loaded from changes it."""
    trial = PastTrial(str(tmp_path / "trial"), str(tmp_path / "data"))
    (tmp_path / "trial" / "model_code").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    found = [compute_model_digest(trial), compute_model_digest(trial)]
    assert found[0] == found[1]
    for name in ("trial/model.keras", "trial/model_code/own.py", "data/preprocessing.json"):
        (tmp_path / name).write_text("1")
        found.append(compute_model_digest(trial))
    (tmp_path / "trial" / "model.keras").write_text("2")
    found.append(compute_model_digest(trial))
    assert len(set(found)) == len(found) - 1
