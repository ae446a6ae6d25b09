"""The optional dependencies of this package: what it declares and what is installed here."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

PACKAGE = "talkover"
IMPORT_TIMEOUT = 180.0
"""Seconds that the import of one package may take; pyannote.audio needs 10 to 40 on 2 cores."""

_PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
_IMPORT_NAMES: dict[str, str | None] = {
    "pandas-stubs": None,  # nothing to import
    "pyyaml": "yaml",
    "pytest-xdist": "xdist",
    "scikit-learn": "sklearn",
    "types-pyyaml": None,
}
"""Where the name to import is not the name of the distribution with ``_`` for ``-``."""
_OFFLINE = {"HF_HUB_OFFLINE": "1", "PYANNOTE_METRICS_ENABLED": "0"}
_IMPORT = """\
import importlib, sys
from talkover.manifests.torchaudio_guard import guard_torchaudio
sys.argv[1] == "torchcodec" or guard_torchaudio()
importlib.import_module(sys.argv[1])
"""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What was found of one requirement."""

    status: Literal["ok", "missing", "broken"]
    detail: str


def install_command(extra: str) -> str:
    """The command that installs an extra in a clone.

    >>> install_command("score")
    'pip install -c constraints.txt -e ".[score]"'
    """
    return f'pip install -c constraints.txt -e ".[{extra}]"'


def declared_requirements() -> dict[str, list[Requirement]]:
    """Requirements by extra, ``""`` for those that always hold, extras of extras resolved.

    From the metadata of the installed package, or from the clone's `pyproject.toml` where it runs
    without being installed.

    Raises:
        OSError: If there is neither.
    """
    declared = _from_metadata() or _from_pyproject()
    return {extra: _resolve(extra, declared) for extra in declared}


def inspect(requirement: Requirement, *, deep: bool = False) -> Installed:
    """Whether a requirement is met here.

    Args:
        requirement: One of `declared_requirements`.
        deep: Also import it, in a process of its own.
    """
    version = installed_version(requirement.name)
    if version is None:
        return Installed(status="missing", detail=f"{requirement.name} is not installed")
    if not requirement.specifier.contains(version, prereleases=True):
        detail = f"{requirement.name} {version} is not {requirement.specifier}"
        return Installed(status="broken", detail=detail)
    module = import_name(requirement.name)
    if deep and module is not None and (fault := import_in_process(module)) is not None:
        return Installed(status="broken", detail=f"{requirement.name} {version}: {fault}")
    return Installed(status="ok", detail=f"{requirement.name} {version}")


def installed_version(distribution: str) -> str | None:
    """Version of a distribution, or None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def import_name(distribution: str) -> str | None:
    """What to import of a distribution; None if there is nothing.

    >>> import_name("silero-vad")
    'silero_vad'
    """
    name = re.sub(r"[-_]+", "-", distribution).lower()
    return _IMPORT_NAMES.get(name, name.replace("-", "_"))


def import_in_process(module: str, timeout: float = IMPORT_TIMEOUT) -> str | None:
    """Import a module in a fresh process, behind the torchaudio guard and offline.

    Args:
        module: Dotted name.
        timeout: In seconds.

    Returns:
        None if that works, else why not, in one line.
    """
    path = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _IMPORT, module],
            env={**os.environ, **_OFFLINE, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"import takes more than {timeout:g} s"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"import crashes with signal {-done.returncode}"
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith(" ")]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (errors or lines or ["import fails and says nothing"])[-1]


def _from_metadata() -> dict[str, list[Requirement]]:
    """What the installed package declares; empty if it is not installed."""
    try:
        metadata = importlib.metadata.metadata(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return {}
    every = [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]
    always = [r for r in every if r.marker is None or r.marker.evaluate({"extra": ""})]
    declared = {"": always}
    for extra in metadata.get_all("Provides-Extra") or []:
        needed = [r for r in every if r.marker is not None and r.marker.evaluate({"extra": extra})]
        declared[extra] = [r for r in needed if r not in always]
    return declared


def _from_pyproject() -> dict[str, list[Requirement]]:
    """What the clone around this file declares."""
    with _PYPROJECT.open("rb") as file:
        project = tomllib.load(file)["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: [
            requirement
            for requirement in map(Requirement, texts)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        ]
        for extra, texts in lists.items()
    }


def _resolve(extra: str, declared: dict[str, list[Requirement]]) -> list[Requirement]:
    """Requirements of an extra with ``talkover[other]`` replaced by what `other` needs."""
    flat: dict[str, Requirement] = {}
    for requirement in declared.get(extra, []):
        if requirement.name != PACKAGE:
            flat[requirement.name] = requirement
            continue
        for other in sorted(requirement.extras):
            flat.update({found.name: found for found in _resolve(other, declared)})
    return list(flat.values())
