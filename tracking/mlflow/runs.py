"""Runs of studies and their trials in MLflow, found by the tag `kerastudy.key` and created where they are missing.

A server that was frozen may carry out a request after its client gave up. So each run is searched twice: before it is
created, and when the study ends. A twin from such a late request is deleted.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from tracking.mlflow.formatting import NAME, format_run_name, shorten_tags
from tracking.mlflow.model_registry import KEY_TAG, TrialRun
from tracking.mlflow.names import encode_name
from tracking.mlflow.run_rows import NewRun
from tracking.outbox.records import StudyOpened
from tracking.testing.failpoints import hit

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PARENT: Final = "mlflow.parentRunId"
# A page takes 0.7 s with SQLite, in an experiment of 1,000 runs as in one of 10,000.
_RUNS_A_PAGE: Final = 1000
_MOST_TWINS: Final = 20


@dataclass(frozen=True)
class StudyRun:
    """Experiment and parent run of a study."""

    opened: StudyOpened
    experiment_id: str
    run_id: str

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.opened.study


@dataclass(frozen=True)
class KnownRun:
    """Run of a trial as MLflow has it.

    Attributes:
        state: state of the trial, as in the tag `kerastudy.state`.
        artifacts: URI of its artifact folder.
    """

    run_id: str
    status: str
    state: str
    ended_ms: int | None
    artifacts: str

    @property
    def end_ms(self) -> int | None:
        """Time when the trial ended; None for a trial that is unfinished or was interrupted."""
        # KILLED is also the status that a study's end gives to interrupted trials, which may continue.
        is_over = self.status in ("FINISHED", "FAILED") or (self.status == "KILLED" and self.state == "cancelled")
        return self.ended_ms if is_over else None


class Runs:
    """Runs of one MLflow server, cached until `forget`."""

    def __init__(self, client: MlflowClient, artifact_root: str | None, namespace: str) -> None:
        self._client = client
        self._artifact_root = artifact_root
        self._namespace = namespace
        self._studies: dict[str, StudyRun] = {}
        self._trials: dict[str, dict[str, KnownRun]] = {}

    def forget(self, study: str | None = None) -> None:
        """Drop the cached runs of one study or of all."""
        for known in (self._studies, self._trials):
            if study is None:
                known.clear()
            else:
                known.pop(study, None)

    def make_key(self, study: str, number: int | None = None, retraining: str = "") -> str:
        """Return the key of a study's run, a trial's, or a retraining's: the value of the tag `kerastudy.key`."""
        # A quotation mark would end the text of a search, and a slash begin the next part.
        name = encode_name(study).replace("/", encode_name("/"))
        parts = [self._namespace, name, *([] if number is None else [str(number)]), retraining]
        return "/".join(part for part in parts if part)

    def find_or_create_study(self, opened: StudyOpened) -> StudyRun:
        """Return a study's experiment and parent run; create what is missing."""
        if (known := self._studies.get(opened.study)) is not None:
            return known
        experiment_id = self._find_or_create_experiment(opened.experiment)
        key = self.make_key(opened.study)
        run = self._find_run(experiment_id, key)
        if run is None:
            tags = {"kerastudy.study": opened.study, "kerastudy.kind": "study"}
            new = _describe(key, opened.study, opened.started_ms, tags, opened.user)
            run = self._create(experiment_id, new)
        self._studies[opened.study] = StudyRun(opened, experiment_id, str(run.info.run_id))
        return self._studies[opened.study]

    def find_or_create_trial(
        self,
        study: StudyRun,
        number: int,
        retraining: str = "",
        *,
        started_ms: int | None = None,
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[TrialRun, bool]:
        """Return a trial's run, and whether it was created just now, with `tags`.

        With `started_ms` an unfinished run is RUNNING again. The run of a retraining is a child of its trial's.
        """
        key = self.make_key(study.name, number, retraining)
        known = self.load_trials(study)
        found = known.get(key)
        if found is None:
            new = self.describe_new_trial(study, number, retraining, started_ms=started_ms, tags=tags)
            known[key] = _parse_run(self._create(study.experiment_id, new))
        elif started_ms is not None and found.end_ms is None and found.status != "RUNNING":
            self._client.update_run(found.run_id, status="RUNNING")
            known[key] = replace(found, status="RUNNING")
        return self.get_trial(study, number, retraining), found is None

    def get_trial(self, study: StudyRun, number: int, retraining: str = "") -> TrialRun:
        """Return the run of a trial or a retraining that has one."""
        key = self.make_key(study.name, number, retraining)
        run = self.load_trials(study)[key]
        name = format_run_name(study.name, number, retraining)
        return TrialRun(study.experiment_id, run.run_id, name, key, run.artifacts)

    def describe_new_trial(
        self,
        study: StudyRun,
        number: int,
        retraining: str = "",
        *,
        started_ms: int | None = None,
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> NewRun:
        """Return the facts of a trial's run that does not exist yet; the parent of a retraining's is created."""
        parent = self.find_or_create_trial(study, number)[0].run_id if retraining else study.run_id
        kind = "retraining" if retraining else "trial"
        fixed = {_PARENT: parent, "kerastudy.study": study.name, "kerastudy.kind": kind}
        fixed |= {"number": str(number), "state": "running", "kerastudy.state": "running"}
        began_ms = study.opened.started_ms if started_ms is None else started_ms
        name, key = format_run_name(study.name, number, retraining), self.make_key(study.name, number, retraining)
        return _describe(key, name, began_ms, {**fixed, **tags}, study.opened.user)

    def load_trials(self, study: StudyRun) -> dict[str, KnownRun]:
        """Return the runs of a study's trials and retrainings by their keys; loaded once, then kept up to date."""
        if study.name not in self._trials:
            filter_string = f"tags.`{KEY_TAG}` LIKE '{self.make_key(study.name)}/%'"
            found: dict[str, list[Run]] = {}
            token = None
            while token is None or token:
                page = self._client.search_runs(
                    [study.experiment_id], filter_string=filter_string, max_results=_RUNS_A_PAGE, page_token=token
                )
                for run in page:
                    key = run.data.tags.get(KEY_TAG, "")
                    if key.startswith(f"{self.make_key(study.name)}/"):
                        # Two homes may have studies of one name in this experiment; their keys differ.
                        found.setdefault(key, []).append(run)
                token = page.token or ""
            self._trials[study.name] = {key: _parse_run(self._keep_one(twins)) for key, twins in found.items()}
        return self._trials[study.name]

    def end_run(self, study: StudyRun, run: TrialRun, status: str, state: str, ended_ms: int) -> None:
        """End a trial's run."""
        self._client.set_terminated(run.run_id, status, ended_ms)
        known = self.load_trials(study)
        known[run.key] = replace(known[run.key], status=status, state=state, ended_ms=ended_ms)

    def delete_twins(self, study: StudyRun) -> None:
        """Load a study's runs again, and delete all but one with the same key."""
        self._trials.pop(study.name, None)
        self.load_trials(study)
        self._find_run(study.experiment_id, self.make_key(study.name), keep=study.run_id)

    def _find_run(self, experiment_id: str, key: str, *, keep: str = "") -> Run | None:
        filter_string = f"tags.`{KEY_TAG}` = '{key}'"
        twins = self._client.search_runs([experiment_id], filter_string=filter_string, max_results=_MOST_TWINS)
        return self._keep_one(twins, keep=keep) if twins else None

    def _keep_one(self, twins: Sequence[Run], *, keep: str = "") -> Run:
        """Return the run to `keep`, or else the one with the most data, and delete the others."""
        ranks = [
            (
                run.info.run_id == keep,
                # Of twins, the one that has ended received the later records.
                run.info.end_time is not None,
                len(run.data.metrics) + len(run.data.params) + len(run.data.tags),
            )
            for run in twins
        ]
        kept = twins[ranks.index(max(ranks))]
        for run in twins:
            if run is not kept:
                self._client.delete_run(run.info.run_id)
        return kept

    def _create(self, experiment_id: str, new: NewRun) -> Run:
        created = self._client.create_run(
            experiment_id, start_time=new.started_ms, run_name=new.name, tags=dict(new.tags)
        )
        hit("run-created")
        return created

    def _find_or_create_experiment(self, name: str) -> str:
        known = self._client.get_experiment_by_name(name)
        if known is None:
            location = None if self._artifact_root is None else f"{self._artifact_root.rstrip('/')}/{_make_slug(name)}"
            try:
                return str(self._client.create_experiment(name, artifact_location=location))
            except MlflowException as error:
                # Another study of the same experiment created it meanwhile.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                return self._find_or_create_experiment(name)
        # MLflow refuses runs in a deleted experiment, and its name stays taken.
        if known.lifecycle_stage == "deleted":
            self._client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)


def _describe(key: str, name: str, started_ms: int, tags: Mapping[str, str], user: str) -> NewRun:
    fixed = {
        KEY_TAG: key,
        "mlflow.source.name": "kerastudy",
        "mlflow.source.type": "JOB",
        "mlflow.user": user or _get_user(),
        **({"kerastudy.submitter": user} if user else {}),
    }
    # A trial that has ended already may have its state in its name.
    return NewRun(tags.get(NAME, name), fixed["mlflow.user"], started_ms, {**fixed, **shorten_tags(tags)})


def _parse_run(run: Run) -> KnownRun:
    state = run.data.tags.get("kerastudy.state", "")
    return KnownRun(run.info.run_id, run.info.status, state, run.info.end_time, run.info.artifact_uri)


def _make_slug(name: str) -> str:
    # The name of a folder, which two experiments may share: runs have folders of their own in it.
    return re.sub(r"[^\w.-]|^\.", "_", name)[:100]


def _get_user() -> str:
    try:
        return getpass.getuser()
    # In a container the user may have a number and no name.
    except (OSError, KeyError, ImportError):
        return "unknown"
