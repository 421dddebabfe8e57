"""Reserve of disk space: it takes up space until it is released."""

from __future__ import annotations

from pipelines.workspace.disk_reserve import DiskReserve


def test_the_reserve_takes_space_until_it_is_released(tmp_path):
    """A filled reserve is a file of 2 MiB; a second release does no harm."""
    reserve = DiskReserve(tmp_path / "study")
    reserve.fill()
    assert (tmp_path / "study" / "reserve").stat().st_size == 2 * 2**20
    reserve.release()
    reserve.release()
    assert list((tmp_path / "study").iterdir()) == []
