"""A study that a supervisor has opened: its context, its trials in Optuna, and the components that work on it."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.engines.base import Engine
from pipelines.recording.recorder import Recorder
from pipelines.search.earlier_trials import find_earlier_trials
from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.pruners import choose_pruner
from pipelines.search.sampler_choice import choose_sampler
from pipelines.search.space_evolution import find_current_name
from pipelines.search.starting_points import choose_starting_points
from pipelines.study.context import StudyContext
from pipelines.supervisor.running_trials import RunningTrials
from pipelines.supervisor.study_control import StudyControl
from tracking.store.database import Store


@dataclass(frozen=True)
class OpenStudy:
    """The components of a study at work.

    Attributes:
        context: the study and its data.
        store: the database of the studies.
        engine: runs its jobs.
        control: its lease and its control requests.
        search: the study in Optuna.
        recorder: writes its rows for MLflow and its report.
        trials: its running trials.
        memory_bytes: memory that each worker may hold.
    """

    context: StudyContext
    store: Store
    engine: Engine
    control: StudyControl
    search: OptunaSearch
    recorder: Recorder
    trials: RunningTrials
    memory_bytes: int

    @classmethod
    def open(cls, context: StudyContext, store: Store, engine: Engine, control: StudyControl) -> OpenStudy:
        """Load the study from Optuna, or create it there, and make the components."""
        storage = store.open_optuna_storage()
        search = OptunaSearch(
            storage,
            find_current_name(storage, context.name),
            SearchSettings(
                context.study.space,
                context.objective,
                context.spec.search.model_copy(
                    update={"sampler": choose_sampler(context).name, "pruner": choose_pruner(context).name}
                ),
                context.most_epochs,
                context.initial_values,
                context.undeclared,
                draws_on_request=context.study.has_user_model,
                repeats=context.combinations.repeats,
                starting_points=choose_starting_points(context),
                earlier=find_earlier_trials(context),
                gp_trials=choose_sampler(context).gp_trials,
            ),
            check=control.verify,
        )
        recorder = Recorder(context, store, search, control.verify, control.clock)
        trials = RunningTrials(context, search, recorder, control.clock)
        memory_bytes = context.spec.limits.memory or engine.worker_memory_bytes
        return cls(context, store, engine, control, search, recorder, trials, memory_bytes)

    @property
    def ended_trials(self) -> int:
        """Number of trials that have ended, those of earlier runs included."""
        return sum(trial.has_ended for trial in self.search.trials)

    def stop_jobs(self) -> None:
        """Stop every job of the engine."""
        for name in self.engine.busy:
            self.engine.stop(name)
