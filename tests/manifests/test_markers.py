from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from talkover.manifests.errors import RunError
from talkover.manifests.markers import (
    FileRecord,
    Marker,
    atomic_path,
    file_sha256,
    publish,
    sweep_temporaries,
    verified_marker,
    write_marker,
)

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from talkover.manifests.markers import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_file_has_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == path.parent
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_two_writers_of_one_file_do_not_share_a_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_path(path) as first, atomic_path(path) as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert path.read_text() == "1"  # the outer one ends last


def test_published_files_have_the_permissions_of_ordinary_ones(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    publish(tmp_path / "published", lambda temporary: temporary.write_text("x"))
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in os.listdir(tmp_path)}
    assert modes["published"] == modes["plain"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_with_the_file(tmp_path: Path, number: int) -> None:
    def fail(_: Path) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(RunError, match=r"no space left on device while writing .*a\.txt"):
        publish(tmp_path / "a.txt", fail)
    assert os.listdir(tmp_path) == []


def test_a_sweep_removes_what_a_killed_process_left_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = path.parent.iterdir()
    assert left.read_text() == "half"
    (tmp_path / "user.tmp-file").write_text("not ours")
    with atomic_path(tmp_path / "b.txt") as temporary:  # another job is at work here
        assert sweep_temporaries(tmp_path) == [left]
        temporary.write_text("alive")
    assert (tmp_path / "b.txt").read_text() == "alive"
    assert (tmp_path / "user.tmp-file").exists()
    assert not path.exists()


def _done(root: Path) -> Marker:
    for name in ("a.bin", "sub/b.bin"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    marker = Marker.over("shard-0", "inputs", root, [root / "a.bin", root / "sub" / "b.bin"])
    write_marker(root / "run", marker)
    return marker


def test_a_marker_over_untouched_files_is_verified(tmp_path: Path) -> None:
    marker = _done(tmp_path)
    assert sorted(marker.files) == ["a.bin", "sub/b.bin"]
    assert verified_marker(tmp_path / "run", tmp_path, "shard-0", "inputs") == marker


def test_markers_of_equal_work_have_equal_bytes(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        _done(tmp_path / name)
        texts.append((tmp_path / name / "run" / "shard-0.done.json").read_bytes())
    assert texts[0] == texts[1]


@settings(deadline=None, max_examples=30)
@given(position=st.integers(0, 8), bit=st.integers(0, 7))
def test_any_changed_bit_of_a_file_undoes_its_unit(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    root = tmp_path_factory.mktemp("root")
    _done(root)
    content = bytearray((root / "sub" / "b.bin").read_bytes())
    content[position] ^= 1 << bit
    (root / "sub" / "b.bin").write_bytes(content)
    assert verified_marker(root / "run", root, "shard-0", "inputs") is None


def test_a_missing_longer_or_foreign_file_undoes_its_unit(tmp_path: Path) -> None:
    _done(tmp_path)
    assert verified_marker(tmp_path / "run", tmp_path, "shard-0", "other inputs") is None
    assert verified_marker(tmp_path / "run", tmp_path, "shard-1", "inputs") is None
    (tmp_path / "a.bin").write_bytes(b"a.bin and more")
    assert verified_marker(tmp_path / "run", tmp_path, "shard-0", "inputs") is None
    (tmp_path / "a.bin").unlink()
    assert verified_marker(tmp_path / "run", tmp_path, "shard-0", "inputs") is None
    (tmp_path / "elsewhere").write_bytes(b"a.bin")
    root = tmp_path / "root"
    _done(root)
    (root / "a.bin").unlink()
    (root / "a.bin").symlink_to(tmp_path / "elsewhere")  # right bytes, outside the root
    assert verified_marker(root / "run", root, "shard-0", "inputs") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"unit": "shard-0"}'])
def test_a_torn_marker_is_no_marker(tmp_path: Path, text: str) -> None:
    _done(tmp_path)
    (tmp_path / "run" / "shard-0.done.json").write_text(text)
    assert verified_marker(tmp_path / "run", tmp_path, "shard-0", "inputs") is None


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "a\\b", ""])
def test_a_marker_cannot_point_out_of_its_root(name: str) -> None:
    with pytest.raises(ValidationError):
        Marker(unit="u", inputs_hash="i", files={name: FileRecord(sha256="0" * 64, size=0)})


def test_files_that_are_missing_or_elsewhere_cannot_be_marked(tmp_path: Path) -> None:
    outside = tmp_path / "outside.bin"
    outside.write_bytes(b"")
    for path in (tmp_path / "root" / "missing.bin", outside):
        with pytest.raises(RunError, match=path.name):
            Marker.over("u", "i", tmp_path / "root", [path])


def test_hashes_of_files_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "abc") == expected


def test_an_error_of_the_system_that_is_no_full_disk_keeps_its_type(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError) as caught:
            publish(tmp_path / "a.bin", lambda temporary: temporary.write_bytes(bytes(5000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == []
