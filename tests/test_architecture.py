"""The import graph: manifests is the ground floor, the three parts do not know each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PARTS = ("manifests", "simulate", "annotate", "model")
ALLOWED = {
    "manifests": {"manifests"},
    "simulate": {"manifests", "simulate"},
    "annotate": {"manifests", "annotate"},
    "model": {"manifests", "model"},
}


def imported_modules(path: Path) -> list[str]:
    """Every talkover module that a file imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] == "talkover"]


def module_name(repository: Path, path: Path) -> str:
    parts = path.relative_to(repository).with_suffix("").parts
    return ".".join(("talkover", *(p for p in parts if p != "__init__")))


@pytest.mark.parametrize("part", PARTS)
def test_each_part_imports_only_what_it_may(repository: Path, part: str) -> None:
    files = sorted((repository / part).rglob("*.py"))
    assert files, f"no Python file under {part}/"
    found = {
        (path.relative_to(repository).as_posix(), name)
        for path in files
        for name in imported_modules(path)
        if len(name.split(".")) > 1 and name.split(".")[1] not in ALLOWED[part]
    }
    assert found == set()


def test_no_module_imports_itself_in_a_circle(repository: Path) -> None:
    files = [p for part in PARTS for p in sorted((repository / part).rglob("*.py"))]
    modules = {module_name(repository, path): path for path in files}
    assert len(modules) > 10
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        top_level = ast.parse(path.read_text(encoding="utf8")).body
        targets = set()
        for node in top_level:
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    targets.add(full if full in modules else node.module)
            elif isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
        graph[name] = (targets & set(modules)) - {name}

    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "circular import: " + " → ".join((*trail, name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_only_cli_stands_at_the_root(repository: Path) -> None:
    assert sorted(p.name for p in repository.glob("*.py")) == ["cli.py"]
