"""Output of the verbs for registered models and uploads: a line for each."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.operations.uploads import UploadRow
from pipelines.spec.units import format_bytes
from tracking.store.model_grants import RegisteredModel


def print_models(models: Sequence[RegisteredModel]) -> None:
    """Print registered models, with whom they belong to and who else may use them."""
    for model in models:
        granted = ", ".join(
            f"{grant.submitter} (protected aliases too)" if grant.moves_protected else grant.submitter
            for grant in model.grants
        )
        owner = model.owner or "the operator"
        print(f"{model.name}: of {owner}, by study {model.study}{f'; granted to {granted}' if granted else ''}")
    if not models:
        print("no study has registered a model yet")


def print_uploads(rows: Sequence[UploadRow]) -> None:
    """Print uploaded data files, with the studies that keep them."""
    for row in rows:
        kept = f"; kept for {', '.join(row.studies)}" if row.studies else ""
        print(f"{row.source}  {format_bytes(row.bytes)}, of {row.owner or 'an unknown account'}{kept}")
    if not rows:
        print("there are no uploads")
