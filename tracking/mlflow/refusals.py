"""Refusals of MLflow within records: what was refused, while all else of the records is delivered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tracking.mlflow.client import classify_error
from tracking.outbox.sink import DeliveryEndedError, RefusedPartsError

_MOST_NAMED: Final = 3


class Refusals:
    """Parts of the records in delivery that MLflow refused."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._unclear: Exception | None = None

    @contextmanager
    def collect(self, part: str) -> Iterator[None]:
        """Go on after this block if MLflow refuses what it sends; an outage ends the delivery.

        Args:
            part: what the block sends, such as `the files of digits-t003`.
        """
        try:
            yield
        except DeliveryEndedError:
            raise
        except Exception as error:
            severity = classify_error(error)
            if severity == "outage":
                raise
            if severity == "unclear":
                self._unclear = self._unclear or error
            else:
                self.add(part, error)

    def clear(self) -> None:
        """Forget what was collected."""
        self._found, self._unclear = {}, None

    def add(self, part: str, error: Exception) -> None:
        """Add a part that MLflow refused."""
        lines = str(error).strip().splitlines()
        self._found[part] = lines[0] if lines else type(error).__name__

    def raise_found(self) -> None:
        """Raise what was collected, if anything was.

        Raises:
            RefusedPartsError: if MLflow refused parts.
            Exception: the first error that may be the server's, if there was one.
        """
        if self._unclear is not None:
            raise self._unclear
        if self._found:
            named = [f"{part}: {reason}" for part, reason in list(self._found.items())[:_MOST_NAMED]]
            more = [f"and {len(self._found) - _MOST_NAMED} more"] if len(self._found) > _MOST_NAMED else []
            raise RefusedPartsError(f"MLflow refused {'; '.join([*named, *more])}")
