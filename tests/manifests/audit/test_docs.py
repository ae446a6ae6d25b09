"""The document of the audit lists the tables, the checks and the limits as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from talkover.manifests.audit.columns import tables_markdown
from talkover.manifests.audit.registry import checks_markdown


def test_the_document_has_the_tables_and_the_checks(repository: Path) -> None:
    text = (repository / "docs" / "audit.md").read_text(encoding="utf8")
    assert tables_markdown().strip() in text
    assert checks_markdown().strip() in text


def test_the_example_of_the_document_runs(
    repository: Path, corpus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (repository / "docs" / "audit.md").read_text(encoding="utf8")
    example = re.search(r"```python\n(.+?)```", text, re.DOTALL)
    assert example
    for name in ("out", "other"):
        (tmp_path / name).symlink_to(corpus.write())
    monkeypatch.chdir(tmp_path)
    exec(compile(example.group(1).replace("jobs=2", "jobs=1"), "docs/audit.md", "exec"), {})
    assert (tmp_path / "audit.html").stat().st_size > 50_000
