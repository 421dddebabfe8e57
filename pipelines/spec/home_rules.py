"""Rules of a home: what may be removed after a time, and how much room may be used. Sections of `service.yaml`.

They hold with and without a service: `kerastudy gc`, `kerastudy usage` and `kerastudy run` read them in the home.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from pipelines.spec.error_messages import list_spec_problems
from pipelines.spec.section import Section
from pipelines.spec.units import Bytes, Seconds
from search_spaces.errors import InputError
from search_spaces.yaml_reader import read_document

FILE_NAME = "service.yaml"


class RetentionSpec(Section):
    """Ages after which parts of ended studies are removed, counted from the study's end."""

    checkpoints: Seconds | None = Field(
        None, description='Age at which left checkpoints of an ended study go, such as "7d"; by default they stay.'
    )
    models: Seconds | None = Field(
        None,
        description="Age at which the models of an ended study's trials go, but for the winner, its ensemble and what "
        "is promoted; by default they stay.",
    )
    logs: Seconds | None = Field(
        None, description="Age at which the logs of an ended study's processes go; `study.log` stays with the study."
    )
    studies: Seconds | None = Field(
        None,
        description="Age at which an ended study is deleted as a whole, unless a promoted model or another study needs "
        "it; by default it stays.",
    )
    uploads: Seconds = Field(7 * 86_400.0, description="Age at which an uploaded file goes that no study names.")
    orphans: Seconds = Field(
        86_400.0, ge=3600, description="Age at which a folder of a study goes that the store does not have."
    )
    programs: Bytes = Field(10**10, description="Largest size of all compiled programs; the oldest go first.")


class QuotaSpec(Section):
    """Limits on the room that studies take."""

    home: Bytes | None = Field(
        None, description='Most bytes of the home, such as "500GB"; a study that runs is paused there.'
    )
    submitter: Bytes | None = Field(None, description="Most bytes of all studies of one submitter.")
    queued: int | None = Field(None, ge=1, le=1_000_000, description="Most studies of one submitter that wait.")


class HomeRules(Section):
    """The sections of `service.yaml` that hold without a service too."""

    retention: RetentionSpec = Field(RetentionSpec(), description="What is removed after a time.")
    quotas: QuotaSpec = Field(QuotaSpec(), description="How much room studies may take.")


def read_home_rules(home: Path, file: Path | None = None) -> HomeRules:
    """Return the rules in a file, or in the home's `service.yaml`; the defaults where there is none.

    Raises:
        InputError: with every problem of these sections, or if the file does not exist.
    """
    if file is None:
        file = home / FILE_NAME
        if not file.exists():
            return HomeRules()
    document = read_document(file)
    # The other sections are the service's to check.
    ours = {key: value for key, value in document.data.items() if key in HomeRules.model_fields}
    try:
        return HomeRules.model_validate(ours)
    except ValidationError as error:
        raise InputError(list_spec_problems(document, error, HomeRules)) from None
