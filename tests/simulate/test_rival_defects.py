"""Defects that other simulators of conversations have or had, one test each.

Each was read in their sources, their issues or measured; the test says which it is and holds that
it is not ours.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import soundfile

from talkover.simulate.channel import opus
from talkover.simulate.channel.draw import draw_channel
from talkover.simulate.channel.stage import ChannelStage
from talkover.simulate.config import (
    ChannelConfig,
    ChannelStep,
    RegistrationConfig,
    SimulationConfig,
    SoundsConfig,
)
from talkover.simulate.levels import decibels_of_power, gain_of
from talkover.simulate.plan import PlannedEffect
from talkover.simulate.sound_plan import number_of_events

RATE = 16000


# Sounds, channel, levels, registration.


def test_decibels_are_not_halved() -> None:
    """NeMo's simulator divided by 20 where it meant a power: 20 dB asked were 10 dB given."""
    assert gain_of(20.0) == pytest.approx(10.0)
    assert decibels_of_power(0.01) == pytest.approx(-20.0)
    noise = np.random.default_rng(0).standard_normal(4000)
    ratio = np.mean(noise**2) / np.mean((noise * gain_of(-20.0)) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(20.0)


def test_sessions_do_not_share_their_draws() -> None:
    """Lhotse's independent utterances simulator used one seed for every meeting."""
    step = ChannelStep(effect="opus", parameters={"bit_rate": [6000, 64000]})
    asked = ChannelConfig(steps=(step,))
    rates = {
        draw_channel(asked, 1, session, (0,), None)[0].parameters["bit_rate"]
        for session in range(20)
    }
    assert len(rates) > 15
    counts = {number_of_events(SoundsConfig(), 1, session, 600.0) for session in range(20)}
    assert len(counts) > 5


def test_a_long_signal_is_never_written_to_a_codec_in_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """libsndfile's Vorbis and Opus encoders crash the process on one write of ten minutes."""
    sizes = []
    write = soundfile.SoundFile.write

    def watched(self: soundfile.SoundFile, data: np.ndarray) -> None:
        sizes.append(len(data))
        write(self, data)

    monkeypatch.setattr(soundfile.SoundFile, "write", watched)
    samples = np.random.default_rng(0).integers(-999, 999, (1, 20 * RATE)).astype(np.int16)
    stage = ChannelStage([PlannedEffect(name="opus")], (0,), RATE, samples.shape[1])
    list(stage.apply([samples]))
    assert sizes and max(sizes) <= opus.BLOCK


def test_every_key_of_the_configuration_is_read_somewhere() -> None:
    """FastMSS documents a key for moving speakers that no line of it reads."""
    folder = Path(opus.__file__).parent.parent
    read: set[str] = set()
    files = [path for path in folder.rglob("*.py") if path.name != "config.py"]
    assert len(files) > 50
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.Attribute):
                read.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                read.add(node.value)
    for name, field in SimulationConfig.model_fields.items():
        assert name in read, name
        for key in getattr(field.annotation, "model_fields", {}):
            assert key in read, f"{name}.{key}"


def test_there_are_registration_clips_by_default_and_up_to_100_distractors() -> None:
    """No simulator of ten gave speech of the speakers from outside the session."""
    assert RegistrationConfig().lengths
    assert RegistrationConfig(distractors=100).distractors == 100
