"""Tables of a model card hold any name and number."""

from __future__ import annotations

from study_events import DATA

from pipelines.export.model_card import ModelOrigin, render_model_card, render_parity_table
from pipelines.export.parity import Latency, Parity


def test_the_files_are_compared_in_one_table():
    """One line for each file, with its latencies; a column's name may hold a bar."""
    files = [
        Parity(
            "keras", "model.keras", 10, 0.0, 1.0, 1_500_000, metric="auc", score=0.75, latency=(Latency(1, 2.0, 3.5),)
        ),
        Parity("onnx", "a|b.onnx", 10, 1e-7, 0.5, 500, preprocessing_file="p.keras", latency=(Latency(1, 0.25, 0.5),)),
    ]
    assert render_parity_table(files).splitlines() == [
        "| format | file | MB | largest difference | same decision | auc | batch 1: median / p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| keras | `model.keras` | 1.500 | 0.0e+00 | 100.00% | 0.75 | 2.00 / 3.50 |",
        "| onnx | `a\\|b.onnx` after `p.keras` | 0.001 | 1.0e-07 | 50.00% |  | 0.25 / 0.50 |",
    ]


def test_the_decision_on_a_refit_is_a_line():
    """A card states why the winner's refit is its model, or is not."""
    origin = ModelOrigin(
        study="s", trial=1, study_file="study.json", document="{}", model="mlp", split="", budget="", space={},
        metric="val_loss", direction="minimize", trials={"complete": 2}, value=0.5, is_winner=True,
        refit="refit not delivered: on validation rows held out, val_loss is 2 with the others in training",
    )  # fmt: skip
    card = render_model_card(origin, DATA, {"params": {}, "keras": "3", "seed": 1}, ())
    assert "\n- Refit not delivered: on validation rows held out, val_loss is 2" in card
