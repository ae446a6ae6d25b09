"""The engine says the same samples every time, and says clearly when it cannot."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from talkover.manifests.errors import MissingExtraError, RunError
from talkover.simulate import espeak
from talkover.simulate.espeak import Engine, Speech, engine_files, engine_version

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

needs_engine = pytest.mark.skipif(
    espeak.importlib.util.find_spec("espeakng_loader") is None,
    reason='the engine is not installed: pip install -c constraints.txt -e ".[demo]"',
)
TEXT = "well, i know it"
# A variant with breath noise, which the engine draws at random.
SETTINGS = {"voice": "en-us+f3", "rate_wpm": 170, "pitch": 50}


def test_a_missing_engine_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak.importlib.util, "find_spec", lambda name: None)
    for action in (engine_files, engine_version, Engine):
        with pytest.raises(MissingExtraError, match=r"espeakng-loader: .*\[demo\]"):
            action()


@needs_engine
def test_the_same_line_is_the_same_speech_whatever_was_said_before() -> None:
    with Engine() as engine:
        first = engine.say(TEXT, **SETTINGS)
        engine.say("something else", **{**SETTINGS, "voice": "cmn+m3"})
        assert engine.say(TEXT, **SETTINGS) == first
    with Engine() as another:
        assert another.say_checked(TEXT, **SETTINGS) == first


@pytest.mark.medium
@needs_engine
def test_speech_is_the_same_where_processes_cannot_fork() -> None:
    with Engine() as forking, Engine(fork=False) as starting:
        expected = forking.say(TEXT, **SETTINGS)
        assert [starting.say(TEXT, **SETTINGS) for _ in range(2)] == [expected, expected]


@needs_engine
def test_every_word_has_an_event_at_its_first_character_and_within_the_audio() -> None:
    with Engine() as engine:
        speech = engine.say(TEXT, **SETTINGS)
    assert [position for position, _ in speech.words] == [0, 6, 8, 13]
    starts = [sample for _, sample in speech.words]
    assert starts == sorted(set(starts))
    assert 0 <= starts[0] and starts[-1] < len(speech.pcm) // 2
    assert speech.sampling_rate == 22_050


@needs_engine
def test_voice_rate_and_pitch_change_the_speech() -> None:
    with Engine() as engine:
        said = {
            engine.say(TEXT, **{**SETTINGS, **change}).pcm
            for change in ({}, {"voice": "en-us+m3"}, {"rate_wpm": 220}, {"pitch": 70})
        }
    assert len(said) == 4


@needs_engine
@pytest.mark.parametrize("voice", ["xx-none+f3", "en-us+nobody"])
def test_an_unknown_voice_is_refused_and_the_engine_goes_on(voice: str) -> None:
    with Engine() as engine:
        with pytest.raises(RunError, match=r"as .*there is no"):
            engine.say(TEXT, **{**SETTINGS, "voice": voice})
        assert engine.say(TEXT, **SETTINGS).pcm


@needs_engine
def test_speech_that_differs_between_two_processes_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(Speech(pcm=pcm, sampling_rate=22_050, words=()) for pcm in (b"\0\0", b"\1\0"))
    monkeypatch.setattr(Engine, "say", lambda self, text, **settings: next(answers))
    with pytest.raises(RunError, match="in two ways"):
        Engine().say_checked(TEXT, **SETTINGS)


@needs_engine
def test_a_killed_engine_is_an_error_and_the_next_line_works() -> None:
    with Engine() as engine:
        engine.say(TEXT, **SETTINGS)
        assert engine._server is not None
        os.kill(engine._server.pid, signal.SIGKILL)
        engine._server.wait()
        with pytest.raises(RunError, match="could not say"):
            engine.say(TEXT, **SETTINGS)
        assert engine.say(TEXT, **SETTINGS).pcm


@needs_engine
def test_a_child_that_dies_is_reported_by_the_server(tmp_path: Path) -> None:
    class Broken:
        """Stands for an engine that crashes its process."""

        def speak(self, **request: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    with (tmp_path / "answer").open("wb") as output:
        espeak._answer_in_child(Broken(), {"text": TEXT}, output)  # type: ignore[arg-type]
    assert b"ended with -9" in (tmp_path / "answer").read_bytes()
