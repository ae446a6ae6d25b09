"""Makes `published`, which these tests share, importable; weights are the same in every test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Random weights are the same in every test."""
    torch.manual_seed(0)
