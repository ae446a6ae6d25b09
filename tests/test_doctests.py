"""Every example in a docstring runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

PARTS = ("manifests", "simulate", "annotate", "model")


def modules() -> list[str]:
    names = []
    for part in PARTS:
        package = importlib.import_module(f"talkover.{part}")
        names.append(package.__name__)
        names += [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
    return names


def test_modules_were_found() -> None:
    assert len(modules()) > 10


@pytest.mark.parametrize("name", modules())
def test_examples_of(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
