"""Settings from files and texts; mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from talkover.annotate.config import AnnotationConfig, load_config
from talkover.annotate.flags import flags_of
from talkover.manifests.errors import ConfigurationError


def test_files_and_texts_are_put_over_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "channel: each\nbackends: {vad: energy, music: null, events: {options: {labels: [dog]}}}\n"
        "segmentation: {longest: 30, weights: {sound: 5}}\n"
    )
    found = load_config(path, ["backends.vad.options.above_db=9", "turns.pause=1"])
    assert found.channel == "each"
    assert (found.backends.vad.backend, dict(found.backends.vad.options)) == (
        "energy",
        {"above_db": 9},
    )
    assert found.backends.music.is_off
    assert found.backends.events.backend == AnnotationConfig().backends.events.backend
    assert found.backends.events.options == {"labels": ["dog"]}
    assert (found.segmentation.longest, found.segmentation.weights["sound"]) == (30, 5)
    assert found.segmentation.weights["music"] == AnnotationConfig().segmentation.weights["music"]
    assert load_config() == AnnotationConfig()
    assert load_config(None, ["backends.vad=energy"]).backends.vad.backend == "energy"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("segmentation.longst=30", r"^segmentation\.longst: no such key; known: .*longest"),
        ("backends.ears=x", r"^backends\.ears: no such key"),
        ("backends.vad.backend=[1]", r"^backends\.vad\.backend: .*string, got \[1\]"),
        ("channel=left", r"^channel: .*got 'left'"),
        ("turns.pause=-1", r"^turns\.pause must be from 0 to 60 s, got -1"),
        ("segmentation.longest=long", r"^segmentation\.longest: .*number.*got 'long'"),
        ("segmentation=3", r"^segmentation: must hold settings, got 3"),
        ("segmentation.longest=1", "shortest <= preferred <= longest"),
        ("pause", "--set takes KEY=VALUE"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_config(None, [text])


def test_plain_values_are_json_without_local_paths(tmp_path: Path) -> None:
    model = tmp_path / "my-model"
    model.mkdir()
    config = load_config(None, [f"backends.diarizer.options.model={model}"])
    text = json.dumps(config.plain(), allow_nan=False)
    assert str(tmp_path) not in text and '"my-model"' in text
    assert config.backends.diarizer.options["model"] == str(model)


def test_flags_follow_their_thresholds() -> None:
    figures = {
        "snr_db": 4.9,
        "clipped_share": 0.01,
        "bandwidth_hz": 3400.0,
        "loudness_lufs": -50.0,
        "dc_offset": -0.2,
        "silence_share": 0.95,
        "dnsmos_overall": None,
        "other": 3.0,
    }
    config = load_config().flags
    expected = ("clipped", "dc_offset", "low_snr", "mostly_silent", "narrow_band", "quiet")
    assert flags_of(figures, config, has_speech=True) == expected
    assert flags_of({}, config, has_speech=False, degraded=["music"]) == (
        "degraded:music",
        "no_speech",
    )
    never = load_config(None, [f"flags.{name}=null" for name in vars(config)]).flags
    assert flags_of(figures, never, has_speech=True) == ()
