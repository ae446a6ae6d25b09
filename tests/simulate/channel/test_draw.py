"""Which effects a session gets, and configurations that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.simulate.channel.draw import check_channel, draw_channel
from talkover.simulate.channel.microphones import MicrophoneResponses
from talkover.simulate.channel.stage import ChannelStage
from talkover.simulate.config import ChannelConfig, ChannelStep

RATE = 16000


def config(*steps: dict[str, object]) -> ChannelConfig:
    return ChannelConfig(steps=tuple(ChannelStep(**step) for step in steps))


def test_a_step_comes_as_often_as_it_is_probable() -> None:
    asked = config({"effect": "telephone", "probability": 0.3})
    got = [len(draw_channel(asked, 1, index, (0,), None)) for index in range(2000)]
    assert np.mean(got) == pytest.approx(0.3, abs=0.04)


def test_parameters_lie_in_their_ranges_and_the_rest_is_written_down() -> None:
    asked = config(
        {"effect": "opus", "parameters": {"bit_rate": [8000, 32000]}},
        {"effect": "g711", "parameters": {"law": ["a", "mu"]}},
        {"effect": "clip", "parameters": {"below_peak_db": [3, 9.5]}},
    )
    rows = [draw_channel(asked, 1, index, (0,), None) for index in range(200)]
    rates = [row[0].parameters["bit_rate"] for row in rows]
    assert all(isinstance(rate, int) and 8000 <= rate <= 32000 for rate in rates)
    assert len(set(rates)) > 100
    assert {row[1].parameters["law"] for row in rows} == {"a", "mu"}
    levels = [row[2].parameters["below_peak_db"] for row in rows]
    assert min(levels) < 3.5 and max(levels) > 9.0
    assert rows[0][2].parameters["shape"] == "hard"  # a default


def test_devices_draw_apart_or_together() -> None:
    step = {"effect": "clip", "parameters": {"below_peak_db": [1.0, 30.0]}}
    apart = draw_channel(config(step), 1, 0, (0, 0, 1), None)
    together = draw_channel(config({**step, "together": True}), 1, 0, (0, 0, 1), None)
    assert [row.device for row in apart] == [0, 1]
    assert apart[0].parameters != apart[1].parameters
    assert together[0].parameters == together[1].parameters
    assert together[0].seed == together[1].seed


def test_a_step_more_changes_no_other() -> None:
    step = {"effect": "packet_loss", "parameters": {"loss": [0.01, 0.2]}}
    alone = draw_channel(config(step), 1, 7, (0,), None)
    more = draw_channel(config(step, {"effect": "opus"}), 1, 7, (0,), None)
    assert more[:1] == alone


def test_the_first_device_never_has_a_clock_offset() -> None:
    asked = config({"effect": "clock", "parameters": {"ppm": [-80.0, 80.0]}})
    assert {row.device for row in draw_channel(asked, 1, 0, (0, 1, 2), None)} == {1, 2}


def test_steps_may_be_for_the_first_device_or_the_others() -> None:
    first = config({"effect": "telephone", "devices": "first"})
    others = config({"effect": "telephone", "devices": "others"})
    assert [row.device for row in draw_channel(first, 1, 0, (0, 1, 2), None)] == [0]
    assert [row.device for row in draw_channel(others, 1, 0, (0, 1, 2), None)] == [1, 2]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"effect": "fax"}, "no effect 'fax'"),
        ({"effect": "opus", "parameters": {"bit_rate": [8000, 10**9]}}, "bit_rate must be between"),
        ({"effect": "g711", "parameters": {"law": ["a", "c", "mu"]}}, "law must be a or mu"),
        ({"effect": "clock", "parameters": {"ppm": 3}}, "the room has one"),
        ({"effect": "microphone", "parameters": {"response": "any"}}, "channel.responses"),
    ],
)
def test_what_cannot_work_is_refused_before_the_run(step, words) -> None:
    with pytest.raises(ConfigurationError, match=rf"channel\.steps\[0\].*{words}"):
        check_channel(config(step), RATE, (0,), None)


def test_the_telephone_needs_its_rate() -> None:
    with pytest.raises(ConfigurationError, match="8000"):
        check_channel(config({"effect": "telephone"}), 7000, (0,), None)


def test_the_labels_clock_cannot_be_moved() -> None:
    step = {"effect": "clock", "devices": "first", "parameters": {"ppm": 3}}
    with pytest.raises(ConfigurationError, match="labels' clock"):
        check_channel(config(step), RATE, (0, 1), None)


def write_response(path: Path, delay: int = 40) -> np.ndarray:
    taps = np.zeros(200)
    taps[delay], taps[delay + 3] = 0.5, -0.2
    soundfile.write(path, taps, RATE, subtype="PCM_16")
    return taps


def test_a_measured_microphone_is_used_without_its_delay(tmp_path: Path) -> None:
    write_response(tmp_path / "old.wav")
    responses = MicrophoneResponses.open(tmp_path, RATE)
    asked = config({"effect": "microphone", "parameters": {"response": "any"}})
    check_channel(asked, RATE, (0,), responses)
    planned = draw_channel(asked, 1, 0, (0,), responses)
    assert planned[0].parameters["response"] == "old"
    assert planned[0].parameters["sha256"] == responses.microphones["old"].sha256
    samples = np.zeros((1, 4000), dtype=np.int16)
    samples[0, 1000] = 10000
    stage = ChannelStage(planned, (0,), RATE, 4000, responses=responses)
    got = np.concatenate(list(stage.apply([samples])), axis=1)[0]
    assert np.argmax(np.abs(got)) == 1000
    assert got[1003] / got[1000] == pytest.approx(-0.4, abs=0.01)


def test_another_response_under_the_same_name_is_refused(tmp_path: Path) -> None:
    write_response(tmp_path / "old.wav")
    asked = config({"effect": "microphone", "parameters": {"response": "old"}})
    planned = draw_channel(asked, 1, 0, (0,), MicrophoneResponses.open(tmp_path, RATE))
    (tmp_path / "other").mkdir()
    write_response(tmp_path / "other" / "old.wav", delay=50)
    other = MicrophoneResponses.open(tmp_path / "other", RATE)
    stage = ChannelStage(planned, (0,), RATE, 100, responses=other)
    with pytest.raises(ConfigurationError, match="another content"):
        list(stage.apply([np.ones((1, 100), dtype=np.int16)]))


def test_unusable_responses_are_told_with_their_reason(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), RATE)
    with pytest.raises(ConfigurationError, match="no usable microphone response"):
        MicrophoneResponses.open(tmp_path, RATE)
    write_response(tmp_path / "good.wav")
    found = MicrophoneResponses.open(tmp_path, RATE)
    assert found.ids == ("good",)
    assert found.rejected[0][0] == "silent.wav"


def test_a_manifest_of_responses_may_name_licences(tmp_path: Path) -> None:
    write_response(tmp_path / "a.wav")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("id,file,licence\nm1,a.wav,CC0-1.0\n", encoding="utf8")
    assert MicrophoneResponses.open(tmp_path, RATE).microphones["m1"].licence == "CC0-1.0"
    manifest.write_text("file\na.wav\n", encoding="utf8")
    with pytest.raises(ManifestError, match="no column 'id'"):
        MicrophoneResponses.open(tmp_path, RATE)
