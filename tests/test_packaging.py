"""What an installation ships is what the tree holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

PARTS = ("annotate", "manifests", "model", "simulate")


def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf8"))


def test_every_package_of_the_tree_is_listed(repository: Path) -> None:
    folders = {
        "talkover." + ".".join(path.parent.relative_to(repository).parts)
        for part in PARTS
        for path in (repository / part).rglob("__init__.py")
    }
    listed = set(project(repository)["tool"]["setuptools"]["packages"])
    assert listed == folders | {"talkover"}


def test_the_root_is_a_namespace(repository: Path) -> None:
    assert not (repository / "__init__.py").exists()


def test_every_requirement_of_an_extra_is_pinned_or_explained(repository: Path) -> None:
    def bare(text: str) -> str:
        return text.lower().replace("_", "-").replace(".", "-")

    pinned = {
        bare(line.split("==")[0])
        for line in (repository / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    # Optional recogniser of a user's own machine; not part of the tested set.
    unpinned = {"faster-whisper", "talkover"}
    wanted = project(repository)["project"]
    requirements = list(wanted["dependencies"])
    for extra in wanted["optional-dependencies"].values():
        requirements += extra
    names = {
        bare(r.split(";")[0].split("[")[0].split(">")[0].split("=")[0].strip())
        for r in requirements
    }
    assert names - pinned - unpinned == set()


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_data_file(repository: Path, tmp_path: Path) -> None:
    # A copy, since building leaves a folder build/ behind.
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=repository, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    for name in tracked:
        target = tmp_path / "tree" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(repository / name, target)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, tmp_path / "tree"],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("talkover-*.whl")
    shipped = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("talkover/")}
    wanted = {f"talkover/{name}" for name in tracked if name.split("/")[0] in PARTS}
    assert len(wanted) > 50
    assert shipped == wanted | {"talkover/cli.py"}
