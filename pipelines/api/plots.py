"""Figures of a study's report, a method each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.workspace.home import Home
from search_spaces.errors import InputError

if TYPE_CHECKING:
    from tracking.reports.figures.figure import Figure


class StudyPlots:
    """Figures of a study, which a notebook shows; each raises InputError where the study has nothing for it."""

    study: str
    home: Home

    def plot(self, name: str) -> Figure:
        """Return a figure of the study's report by its name, such as `optimization-history`.

        Raises:
            InputError: if the study has no figure of that name; with the names of those that it has.
        """
        from pipelines.operations.report import draw_study_figures

        figures = draw_study_figures(self.home, self.study)
        if name not in figures:
            raise InputError(f"{self.study} has nothing for a figure {name}; it has {', '.join(figures)}")
        return figures[name]

    def plot_history(self) -> Figure:
        """Return the score of each trial, and the best so far, by trial, by epochs and by time."""
        return self.plot("optimization-history")

    def plot_learning_curves(self) -> Figure:
        """Return the learning curves of the trials."""
        return self.plot("learning-curves")

    def plot_importances(self) -> Figure:
        """Return the importance of each hyperparameter."""
        return self.plot("parameter-importances")

    def plot_slices(self) -> Figure:
        """Return each hyperparameter's values against the score."""
        return self.plot("slices")

    def plot_contour(self) -> Figure:
        """Return the score over the two most important numbers."""
        return self.plot("contour")

    def plot_rank(self) -> Figure:
        """Return pairs of hyperparameters by the rank of the score."""
        return self.plot("rank")

    def plot_parallel_coordinates(self) -> Figure:
        """Return each trial as a line over its hyperparameters."""
        return self.plot("parallel-coordinates")

    def plot_timeline(self) -> Figure:
        """Return when each trial trained."""
        return self.plot("timeline")

    def plot_time_spent(self) -> Figure:
        """Return what supervisor, workers and delivery spent the time on."""
        return self.plot("time-spent")

    def plot_pareto_front(self) -> Figure:
        """Return the trials of several objectives that no other one beats."""
        return self.plot("pareto-front")

    def plot_confusion_matrix(self) -> Figure:
        """Return the winner's confusion matrix; of a classification."""
        return self.plot("confusion-matrix")

    def plot_roc(self) -> Figure:
        """Return the winner's ROC curve; of a classification."""
        return self.plot("roc")

    def plot_calibration(self) -> Figure:
        """Return the winner's probabilities against the shares of the classes."""
        return self.plot("calibration")

    def plot_residuals(self) -> Figure:
        """Return the winner's errors; of a regression."""
        return self.plot("residuals")
