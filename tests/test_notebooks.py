"""The notebooks run from top to bottom, and hold no output of anybody's machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NAMES = ("audit_simulated", "real_meetings")


def notebook(repository: Path, name: str) -> dict[str, Any]:
    return json.loads((repository / "notebooks" / f"{name}.ipynb").read_text(encoding="utf8"))


def run(cells: dict[str, Any], **first: Any) -> dict[str, Any]:
    """Run the code cells as a notebook does, with other values for names of the first one."""
    space: dict[str, Any] = {"__name__": "__main__"}
    code = [c for c in cells["cells"] if c["cell_type"] == "code"]
    for number, cell in enumerate(code):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), space)
        if number == 0:
            assert set(first) <= set(space), "the first cell holds what a user changes"
            space.update(first)
    return space


def test_every_notebook_is_tested(repository: Path) -> None:
    found = sorted(path.stem for path in (repository / "notebooks").glob("*.ipynb"))
    assert found == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_stripped(repository: Path, name: str) -> None:
    cells = notebook(repository, name)["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and cells[0]["cell_type"] == "markdown"
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.medium
def test_a_simulated_corpus_is_audited(
    repository: Path, tone_corpus: Callable[..., Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    space = run(notebook(repository, "audit_simulated"), CORPUS=str(tone_corpus()))
    assert (tmp_path / "audit-simulated" / "audit.html").stat().st_size > 50_000
    assert len(space["audit"].sessions) == 6
    errors = space["audit"].findings
    assert not len(errors[errors["severity"] == "error"]), errors.to_string()


@pytest.mark.slow
def test_the_embedded_corpus_is_audited_as_the_notebook_stands(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("espeakng_loader", reason="the embedded corpus needs the extra demo")
    monkeypatch.chdir(tmp_path)
    space = run(notebook(repository, "audit_simulated"))
    assert len(space["audit"].findings) == 0


@pytest.mark.medium
def test_a_stand_in_for_real_meetings_is_held_against(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space = run(notebook(repository, "real_meetings"))
    assert (tmp_path / "real-meetings" / "audit.html").is_file()
    assert len(space["made"].findings) > 0  # AISHELL-4 is not AMI


def test_real_meetings_are_held_against(
    repository: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = shared_data / "conversations" / "ami_train.rttm.gz"
    monkeypatch.chdir(tmp_path)
    space = run(notebook(repository, "real_meetings"), REAL_LABELS=str(labels))
    assert len(space["real"].sessions) == 136
