"""The figures that segmentation is held to, on one hour of each kind of timeline."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def benchmark(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "segment_benchmark", repository / "benchmarks" / "segment.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_no_word_or_sound_and_hardly_a_turn_is_cut(benchmark: ModuleType) -> None:
    for make in (benchmark.meeting, benchmark.movie):
        line = make(7)
        shares = benchmark.cut_shares(line, benchmark.ours(5.0, 20.0, 60.0)(line))
        assert shares["word"] == 0.0
        assert shares["turn"] <= 0.005
        assert shares["sound"] == 0.0


def test_rules_of_other_tools_cut_words_on_the_same_timeline(benchmark: ModuleType) -> None:
    line = benchmark.meeting(7)
    for name in ("fixed 30 s", "Emilia-style", "whisperX-style"):
        assert benchmark.cut_shares(line, benchmark.RULES[name](line))["word"] > 0.0
