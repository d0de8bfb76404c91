"""A file is whole or it is not there."""

import errno

import pytest

from equipoise.core.atomic import write_text, write_with


def test_a_failed_writing_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "report.json"
    write_text(path, "old")

    def full_disk(temporary):
        temporary.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_with(path, full_disk)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]


def test_a_new_file_is_readable_by_others(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644
