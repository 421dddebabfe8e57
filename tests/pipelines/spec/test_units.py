"""Durations and sizes of a study file."""

import pytest

from pipelines.spec.units import format_bytes, parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(90, 90), (0.5, 0.5), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1h 30m", 5400), ("2d", 172800), ("50ms", 0.05)],
)
def test_durations_are_read(written, seconds):
    """A duration is seconds as a number, or numbers with units that add up."""
    assert parse_seconds(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("5 minutes", 'expected a duration such as 90, "30s", "5m" or "1h30m", got the text "5 minutes"'),
        ("", 'expected a duration such as 90, "30s", "5m" or "1h30m", got the text ""'),
        ("-5m", 'expected a duration such as 90, "30s", "5m" or "1h30m", got the text "-5m"'),
        (True, 'expected a duration such as 90, "30s", "5m" or "1h30m", got true'),
        (["5m"], 'expected a duration such as 90, "30s", "5m" or "1h30m", got a list'),
        (
            "12:30",
            'expected a duration such as 90, "30s", "5m" or "1h30m", got the text "12:30"; write "12h30m" or "12m30s"',
        ),
        (0, "expected a duration above zero, got 0"),
        ("0s", 'expected a duration above zero, got the text "0s"'),
        (-3, "expected a duration above zero, got -3"),
        (float("inf"), "expected a duration of at most 10000 days, got inf"),
        (10**400, "expected a duration of at most 10000 days, got a whole number with many digits"),
        ("1" * 20 + "d", f'expected a duration of at most 10000 days, got the text "{"1" * 20}d"'),
        (float("nan"), "expected a duration above zero, got nan"),
    ],
)
def test_other_durations_are_refused(written, message):
    """What is no positive duration is refused with the ways to write one."""
    with pytest.raises(ValueError) as refused:
        parse_seconds(written)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("written", "size"), [(1024, 1024), (4e9, 4 * 10**9), ("512MB", 512 * 10**6), ("1.5 gb", 15 * 10**8), ("10B", 10)]
)
def test_sizes_are_read(written, size):
    """A size is bytes as a number, or a number with a unit of powers of ten, in any case."""
    assert parse_bytes(written) == size


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("4 gigs", 'expected a size such as "512MB" or "4GB", got the text "4 gigs"'),
        (0.5, 'expected a size such as "512MB" or "4GB", got 0.5'),
        (True, 'expected a size such as "512MB" or "4GB", got true'),
        (None, 'expected a size such as "512MB" or "4GB", got nothing (null)'),
        (float("inf"), 'expected a size such as "512MB" or "4GB", got inf'),
        (0, "expected a size above zero, got 0"),
        (10**400, "expected a size of at most 1000000 TB, got a whole number with many digits"),
        ("9" * 50 + "GB", f'expected a size of at most 1000000 TB, got the text "{"9" * 50}GB"'),
        (
            "9" * 400 + "GB",
            f'expected a size of at most 1000000 TB, got the text "{"9" * 57}..."',
        ),
        ("0MB", 'expected a size above zero, got the text "0MB"'),
    ],
)
def test_other_sizes_are_refused(written, message):
    """What is no positive size is refused with the ways to write one."""
    with pytest.raises(ValueError) as refused:
        parse_bytes(written)
    assert str(refused.value) == message


@pytest.mark.parametrize(("size", "text"), [(1, "1 B"), (999, "999 B"), (1000, "1 KB"), (512_300_000, "512.3 MB")])
def test_sizes_are_printed_with_their_largest_unit(size, text):
    """A size is printed in the largest unit that it reaches, with at most four digits."""
    assert format_bytes(size) == text
