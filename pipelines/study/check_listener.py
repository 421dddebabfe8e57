"""Interface to follow the check of a study while its data is read and its models are tried."""

from __future__ import annotations


class CheckListener:
    """Listener to the check of a study; this one does nothing."""

    def describe(self, step: str) -> None:
        """Take note of what the check does from now on, in one line."""

    def note(self, line: str) -> None:
        """Take a line for people that stays, such as what a resumed study waits for."""

    def keep_alive(self) -> None:
        """Do what has to be done about twice a second; an error raised here ends the check."""
