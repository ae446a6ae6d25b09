"""What the documents say is true: commands exist, examples run, links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from talkover.cli import app


def documents(repository: Path) -> list[Path]:
    found = [repository / "README.md", repository / "CONTRIBUTING.md"]
    found += sorted((repository / "docs").glob("*.md"))
    assert len(found) > 4
    return found


def command(repository: Path, name: str) -> str:
    """The line under ``<!-- command: NAME -->`` in the README."""
    text = (repository / "README.md").read_text(encoding="utf8")
    match = re.search(rf"<!-- command: {name} -->\n```\n(.+?)\n```", text, re.DOTALL)
    assert match, f"README.md has no command {name}"
    return match.group(1)


def test_readme_commands_are_one_line_each(repository: Path) -> None:
    for name in ("run", "test"):
        assert "\n" not in command(repository, name)


def test_ci_runs_the_command_of_the_readme(repository: Path) -> None:
    script = (repository / ".ci" / "run").read_text(encoding="utf8")
    extract = re.search(r"^command=\$\((.+)\)$", script, re.MULTILINE)
    assert extract
    printed = subprocess.run(
        ["bash", "-c", extract.group(1)], cwd=repository, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == command(repository, "test")


def test_links_between_documents_lead_somewhere(repository: Path) -> None:
    missing = []
    for path in documents(repository):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf8")):
            if not (path.parent / target).exists():
                missing.append(f"{path.name} → {target}")
    assert missing == []


def test_every_command_in_the_documents_exists(repository: Path) -> None:
    runner = CliRunner()
    used = set()
    for path in documents(repository):
        text = path.read_text(encoding="utf8")
        for block in re.findall(r"```(?:sh|bash|console)?\n(.*?)```", text, re.DOTALL):
            used |= set(re.findall(r"(?:^|[ /])talkover ((?:turns )?[a-z-]+)", block, re.MULTILINE))
    assert used
    for words in sorted(used):
        result = runner.invoke(app, [*words.split(), "--help"])
        assert result.exit_code == 0, f"talkover {words}: {result.output}"


@pytest.mark.medium
def test_the_readme_example_reads_a_produced_folder(
    repository: Path, tone_manifest: Path, tmp_path: Path
) -> None:
    words = ["simulate", str(tone_manifest), "--out", str(tmp_path / "out"), "--sessions", "1"]
    settings = ["--set", "session.length=[12,14]", "--executor", "serial"]
    subprocess.run(
        [sys.executable, "-m", "talkover.cli", *words, *settings],
        check=True, cwd=tmp_path, capture_output=True,
    )  # fmt: skip
    text = (repository / "README.md").read_text(encoding="utf8")
    example = re.search(r"```python\n(.+?)```", text, re.DOTALL)
    assert example
    ran = subprocess.run(
        [sys.executable, "-c", example.group(1)],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) >= 2


@pytest.fixture
def tone_manifest(tone_corpus: Callable[..., Path]) -> Path:
    return tone_corpus()
