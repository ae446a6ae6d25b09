from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from talkover.manifests import doctor, extras
from talkover.manifests.doctor import Check, examine

pytestmark = pytest.mark.medium  # seconds each: not for the fast round


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the imports that take seconds."""
    for name in ("_torch", "_torchaudio", "_lhotse", "_gpu"):
        monkeypatch.setattr(
            doctor, name, lambda name=name: Check(name=name[1:], status="ok", detail="")
        )


def by_name(checks: list[Check]) -> dict[str, Check]:
    found = {check.name: check for check in checks}
    assert len(found) == len(checks), "two checks with one name"
    return found


def test_every_extra_of_the_package_is_examined(quick: None, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    names = by_name(examine())
    extra_names = set(project["optional-dependencies"])
    assert extra_names
    assert {f"extra {name}" for name in extra_names} <= set(names)
    assert {"python", "torch", "torchaudio", "lhotse", "ffmpeg", "gpu", "ray", "compiler"} <= set(
        names
    )
    assert {"codec wav", "codec flac", "codec ogg", "codec mp3"} <= set(names)
    assert {"disk", "temporary folder", "memory", "cores", "package"} <= set(names)


def test_what_is_needed_here_is_here(quick: None) -> None:
    for check in examine():
        if check.required:
            assert check.status == "ok", check


def test_remedies_are_for_a_clone_and_name_extras_that_exist(
    quick: None, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.setattr(extras, "installed_version", lambda name: None)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    installs = [check.remedy for check in examine() if "pip" in check.remedy]
    assert len(installs) > len(project["optional-dependencies"])
    for command in installs:
        found = re.fullmatch(r'pip install -c constraints\.txt -e (?:\.|"\.\[(\w+)\]")', command)
        assert found, command
        assert found[1] is None or found[1] in project["optional-dependencies"]


def test_all_that_is_not_ok_says_what_is_wrong_in_one_line(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "installed_version", lambda name: None)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor, "LEAST_FREE_GB", 1e9)
    monkeypatch.setattr(doctor, "LEAST_MEMORY_GB", 1e9)
    checks = by_name(examine())
    assert checks["extra ray"].status == checks["compiler"].status == "missing"
    assert checks["disk"].status == checks["memory"].status == "broken"
    for check in checks.values():
        assert "\n" not in check.detail and "\n" not in check.remedy
        if check.status != "ok":
            assert check.detail and check.remedy


@pytest.mark.parametrize(
    "error", [ImportError("no"), OSError("libx.so: missing\nmore"), RuntimeError(), KeyError("k")]
)
def test_a_package_that_breaks_on_import_does_not_kill_the_doctor(
    quick: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> Any:
        raise error

    monkeypatch.setattr(doctor, "_lhotse", fail)
    check = by_name(examine())["lhotse"]
    assert check.status == "broken" and check.required
    assert check.detail.startswith(type(error).__name__)
    assert "more" not in check.detail
    assert check.remedy == doctor.INSTALL


def test_a_codec_that_gives_back_silence_is_broken(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    import soundfile

    monkeypatch.setattr(soundfile, "read", lambda file: (np.zeros(1600), 16000))
    assert by_name(examine())["codec ogg"].status == "broken"


def test_without_metadata_and_clone_the_package_check_is_broken(
    quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(extras, "PACKAGE", "no-such-distribution-here")
    monkeypatch.setattr(extras, "_PYPROJECT", tmp_path / "pyproject.toml")
    check = by_name(examine())["package"]
    assert (check.status, check.remedy) == ("broken", doctor.INSTALL)


def test_requirements_are_judged_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"here": "1.5", "old": "0.9"}
    monkeypatch.setattr(extras, "installed_version", versions.get)
    statuses = {
        text: extras.inspect(Requirement(text)).status
        for text in ("here>=1.2,<2", "old>=1.0", "absent>=1")
    }
    assert statuses == {"here>=1.2,<2": "ok", "old>=1.0": "broken", "absent>=1": "missing"}
    assert extras.inspect(Requirement("old>=1.0")).detail == "old 0.9 is not >=1.0"


def test_installed_metadata_and_the_clone_declare_the_same(
    monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    clone = extras._from_pyproject()
    lines = ["Metadata-Version: 2.4", "Name: talkover", "Version: 0"]
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    lines += [f"Requires-Dist: {text}" for text in project["dependencies"]]
    for extra, texts in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        for text in texts:
            name, _, marker = text.partition(";")
            both = f"({marker.strip()}) and " if marker else ""
            lines.append(f'Requires-Dist: {name.strip()}; {both}extra == "{extra}"')
    import email

    metadata = email.message_from_string("\n".join(lines))
    monkeypatch.setattr(extras.importlib.metadata, "metadata", lambda name: metadata)
    installed = extras._from_metadata()
    assert {extra: {r.name for r in found} for extra, found in installed.items()} == {
        extra: {r.name for r in found} for extra, found in clone.items()
    }


def test_extras_of_extras_are_resolved(repository: Path) -> None:
    declared = extras.declared_requirements()
    everything = {requirement.name for requirement in declared["all"]}
    assert "talkover" not in everything
    assert {requirement.name for requirement in declared["score"]} <= everything
    assert not {requirement.name for requirement in declared["demo"]} & everything  # GPL-3


def test_imports_in_a_process_report_errors_crashes_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fine.py").write_text("")
    (tmp_path / "bad.py").write_text("raise OSError('libx.so: cannot open')")
    (tmp_path / "crash.py").write_text("import os\nos.kill(os.getpid(), 11)")
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)")
    monkeypatch.syspath_prepend(tmp_path)
    guard = tmp_path / "torchaudio.py"
    guard.write_text("")  # so that the guard has nothing to import
    assert extras.import_in_process("fine") is None
    assert extras.import_in_process("bad") == "OSError: libx.so: cannot open"
    assert extras.import_in_process("crash") == "import crashes with signal 11"
    assert extras.import_in_process("slow", timeout=0.5) == "import takes more than 0.5 s"
    assert "fine" not in sys.modules


@pytest.mark.slow
def test_everything_installed_is_examined_for_real() -> None:
    checks = by_name(examine(deep=True)).items()
    extras_found = [check for name, check in checks if name.startswith("extra ")]
    assert extras_found
    assert [check for check in extras_found if check.status == "broken"] == []
