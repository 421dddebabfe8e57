"""Results of the verbs that delete, archive and make room, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.cli.output import make_table, print_table
from pipelines.spec.units import format_bytes

if TYPE_CHECKING:
    from pipelines.engines.warm.listing import KeptProcess
    from pipelines.operations.archive import ArchiveResult
    from pipelines.operations.backup import BackupResult
    from pipelines.operations.delete import DeletionResult
    from pipelines.operations.gc import GcResult
    from pipelines.operations.restore import RestoreResult
    from pipelines.operations.upgrade_store import StoreUpgrade
    from pipelines.operations.verify_backup import VerificationResult
    from pipelines.queries.hosts import HostView
    from pipelines.queries.usage import HomeUsage


def print_deletion(done: DeletionResult) -> None:
    """Print the result of a deletion."""
    print(f"{done.study} is deleted: {format_bytes(done.freed_bytes)} of files, its runs and its records")
    if done.versions:
        print(f"registered versions that went with it: {', '.join(done.versions)}")
    _print_notes(done.notes)


def print_archive(done: ArchiveResult) -> None:
    """Print the result of an archive."""
    if done.is_archived:
        print(f"{done.study} is archived: {format_bytes(done.freed_bytes)} of checkpoints and models were removed")
    else:
        print(f"{done.study} is listed again")


def print_usage(usage: HomeUsage) -> None:
    """Print the room that a home takes."""
    table = make_table("part", "size")
    for part, size in usage.parts.items():
        table.add_row(part, format_bytes(size))
    table.add_row("in all", format_bytes(usage.bytes) + _format_quota(usage.home_quota))
    print_table(table)
    table = make_table("submitter", "studies", "waiting", "size")
    for each in usage.submitters:
        waiting = str(each.waiting) + (f" of {usage.waiting_quota}" if usage.waiting_quota else "")
        room = format_bytes(each.bytes) + _format_quota(usage.submitter_quota)
        table.add_row(each.submitter, str(each.studies), waiting, room)
    print_table(table)


def print_store_upgrade(done: StoreUpgrade) -> None:
    """Print what became of a store's tables."""
    if done.before is None:
        print(f"{done.store}: created, schema {done.after}")
    elif done.before == done.after:
        print(f"{done.store}: schema {done.after}, nothing to upgrade")
    else:
        print(f"{done.store}: upgraded from schema {done.before} to {done.after}")


def print_hosts(hosts: Sequence[HostView]) -> None:
    """Print the processes that run studies."""
    if not hosts:
        print("no process runs studies: start kerastudy serve, or kerastudy supervise on a host")
        return
    table = make_table("host", "process", "state", "studies", "running", "seen")
    for each in hosts:
        running = ", ".join(each.running) or "-"
        room = f"{len(each.running)} of {each.studies}"
        table.add_row(each.host, each.process, each.state, room, running, f"{each.seen_s:.0f} s ago")
    print_table(table)


def print_kept(kept: Sequence[KeptProcess]) -> None:
    """Print the processes that are kept for the next command."""
    if not kept:
        print("no process is kept for the next command")
        return
    table = make_table("process", "kind", "has loaded", "memory", "last used")
    for each in kept:
        size = format_bytes(each.memory_bytes)
        table.add_row(str(each.process), each.kind, each.holds, size, f"{each.unused_s:.0f} s ago")
    table.add_row("in all", "", "", format_bytes(sum(each.memory_bytes for each in kept)), "")
    print_table(table)


def _format_quota(most_bytes: int | None) -> str:
    return "" if most_bytes is None else f" of {format_bytes(most_bytes)}"


def print_gc(done: GcResult) -> None:
    """Print what was removed, by kind, and what stays."""
    for title, items in (("would go" if done.is_dry_run else "removed", done.removed), ("kept", done.kept)):
        if items:
            table = make_table(title, "of", "size", "reason")
            for each in sorted(items, key=lambda each: each.kind):
                table.add_row(each.kind, each.what, format_bytes(each.bytes), each.reason)
            print_table(table)
    for failure in done.failures:
        print(f"not removed: {failure}")
    verb = "would be freed" if done.is_dry_run else "freed"
    print(f"{format_bytes(done.freed_bytes)} {verb}")


def print_backup(done: BackupResult) -> None:
    """Print the result of a backup."""
    print(f"{done.target} holds {_count(done.studies, 'study', 'studies')} in {done.files} files, ", end="")
    print(f"{format_bytes(done.bytes)}; kerastudy verify checks it")
    _print_notes(done.notes)


def print_verification(checked: VerificationResult) -> None:
    """Print the result of a check of a backup."""
    for problem in checked.problems:
        print(problem)
    what = f"{_count(checked.studies, 'study', 'studies')}, {checked.trials} trials, {checked.files} files"
    state = "is damaged" if checked.problems else "is whole"
    print(f"{checked.backup} of {checked.made} {state}: {what}, {format_bytes(checked.bytes)}")


def print_restoration(done: RestoreResult) -> None:
    """Print the result of a restoration."""
    what = _count(done.studies, "study", "studies")
    print(f"{done.home} has the {what} of {done.made}; running studies of then wait: kerastudy resume, or the service")
    _print_notes(done.notes)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _print_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        print(f"note: {note}")
