"""Entry point of `python -m kerastudy`: the command line."""

from __future__ import annotations

from pipelines.cli import command

if __name__ == "__main__":
    command()
