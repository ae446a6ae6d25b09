"""Recordings to sessions: cutting, placing, linking, stitching, failing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.rules import RULES
from talkover.manifests.schema import Audio, Claim
from talkover.manifests.serialize import Parsed, Transcript, Turn
from talkover.model.codec import SatsCodec
from talkover.model.data.examples import Example
from talkover.model.inference.pieces import plan_pieces, window_of_model
from talkover.model.inference.placing import place_turns
from talkover.model.inference.recognize import Recognizer, Recording
from talkover.model.inference.sessions import annotated_session
from talkover.model.inference.spoken import Spoken
from talkover.model.inference.subtitles import to_json, to_srt
from talkover.model.modeling import SatsModel
from talkover.model.transcribe import Answer, Transcriber

RATE = 16000
LOW = 1000  # Hz; enough where only energy counts


def noise(seconds: float, rate: int = LOW, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(int(seconds * rate))).astype(np.float32)


@given(st.integers(1, 40_000), st.floats(1.0, 12.0), st.integers(0, 3))
def test_pieces_cover_a_recording_once_and_none_is_too_long(
    num_samples: int, longest: float, seed: int
) -> None:
    samples = noise(num_samples / LOW, seed=seed)
    pieces = plan_pieces(samples, LOW, longest)
    ends = [0]
    for piece in pieces:
        assert piece.start_sample == ends[-1]
        assert 0 < piece.num_samples <= longest * LOW or len(samples) == 0
        ends.append(piece.start_sample + piece.num_samples)
    assert ends[-1] == len(samples)
    assert all(piece.num_samples >= int(longest * LOW) // 2 for piece in pieces[:-1])


def test_a_cut_falls_into_the_pause() -> None:
    samples = noise(10.0)
    samples[4300:4800] *= 0.01
    first, second = plan_pieces(samples, LOW, 6.0)
    assert 4400 <= first.num_samples <= 4700
    assert second.start_sample == first.num_samples


def test_a_window_shorter_than_a_word_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="window"):
        plan_pieces(noise(3.0), LOW, 0.5)


def test_the_window_is_what_the_model_can_write_and_its_context_holds(
    model: SatsModel, codec: SatsCodec, build: Callable[..., SatsModel]
) -> None:
    assert window_of_model(Transcriber(model, codec)) == pytest.approx(7.0)  # atoms up to 8 s
    lm = model.parts.lm
    short = {**lm.config, "max_position_embeddings": 200}
    transcriber = Transcriber(build(lm=type(lm)(config=short)), codec)
    window = window_of_model(transcriber)
    assert 1.0 <= window < 7.0
    Recognizer(transcriber, window=window)
    with pytest.raises(ConfigurationError, match="at most"):
        Recognizer(transcriber, window=window + 1)


times = st.one_of(st.none(), st.floats(0, 30))


@st.composite
def turns(draw: st.DrawFn) -> list[Turn]:
    found = []
    for _ in range(draw(st.integers(0, 8))):
        start, end = draw(times), draw(times)
        if start is not None and end is not None and end < start:
            start, end = end, start
        speaker = draw(st.sampled_from(["", "S01", "S02", "S11", "ana"]))
        text = draw(st.sampled_from(["", "wahid", "ithnan  thalatha"]))
        found.append(Turn(speaker=speaker, text=text, start=start, end=end))
    return found


def audio_of(seconds: float, rate: int) -> Audio:
    return Audio(
        path="audio/a.wav",
        pcm_sha256="0" * 64,
        sampling_rate=rate,
        num_samples=int(seconds * rate),
        num_channels=1,
        format="wav",
        subtype="PCM_16",
    )


@given(turns(), st.floats(0.2, 20.0), st.sampled_from([8000, 16000, 44100]))
def test_whatever_is_written_becomes_a_session_that_keeps_the_contract_and_every_word(
    written: list[Turn], duration: float, rate: int
) -> None:
    audio = audio_of(duration, rate)
    spoken = place_turns(written, audio.duration)
    session = annotated_session(
        "a", spoken, audio, Claim(backend="t", version="0"), tool="t", configuration={}
    )
    faults = [(name, fault) for name, rule in RULES.items() for fault in rule(session)]
    assert faults == []
    said = sorted(word for turn in written for word in turn.text.split())
    assert sorted(w for row in session.supervisions for w in (row.text or "").split()) == said
    assert {s.speaker for s in spoken} == {turn.speaker or "S01" for turn in written}


def test_subtitles_and_json_say_what_the_session_says() -> None:
    spoken = [
        Spoken(speaker="S02", start=0.5, end=1.0, text="a --> b"),
        Spoken(speaker="S01", start=0.8, end=2.0, text=""),
        Spoken(speaker="S02", start=2.5, end=3.25, text="c"),
    ]
    session = annotated_session(
        "a",
        spoken,
        audio_of(4.0, RATE),
        Claim(backend="t", version="0"),
        tool="t",
        configuration={},
    )
    assert to_srt(session) == (
        "1\n00:00:00,500 --> 00:00:01,000\nS01: a → b\n\n2\n00:00:02,500 --> 00:00:03,250\nS01: c\n"
    )
    document = to_json(session)
    assert '"speaker": "S02", "speech": 1.2' in document.replace("\n", "").replace("  ", "")


class Scripted(Transcriber):
    """Writes what it is told, or fails as it is told."""

    def __init__(self, model: SatsModel, codec: SatsCodec, most: int = 16) -> None:
        super().__init__(model, codec)
        self.most = most
        self.batches: list[int] = []
        self.is_readable = True

    def answers(self, examples: Sequence[Example]) -> list[Answer]:
        self.batches.append(len(examples))
        if len(examples) > self.most:
            raise torch.OutOfMemoryError("no")
        text = "[0.5][S01]wahid[1.0]" if self.is_readable else "wahid"
        parsed = self.codec.parse(text)
        if not self.is_readable:
            parsed = Parsed(transcript=Transcript(), repairs=parsed.repairs)
            assert parsed.repairs
        return [
            Answer(id=e.id, text=text, parsed=parsed, num_tokens=4, is_truncated=False)
            for e in examples
        ]


def recordings(*seconds: float) -> list[Recording]:
    return [
        Recording(id=f"r{n}", samples=noise(length, RATE, seed=n))
        for n, length in enumerate(seconds)
    ]


def test_pieces_are_stitched_on_the_clock_of_the_recording(
    build: Callable[..., SatsModel], codec: SatsCodec
) -> None:
    from talkover.model.config import CueConfig
    from talkover.model.layout import LayoutConfig

    deaf = build(speaker=None, layout=LayoutConfig(), cues=CueConfig())
    recognizer = Recognizer(Scripted(deaf, codec), window=4.0)
    short, long = recognizer.recognize(recordings(3.0, 9.0))
    assert [(s.start, s.end) for s in short.spoken] == [(0.5, 1.0)]
    assert long.num_pieces >= 3 and len(long.spoken) == long.num_pieces
    starts = [piece.start_sample / RATE for piece in plan_pieces(noise(9.0, RATE, 1), RATE, 4.0)]
    assert [s.start for s in long.spoken] == pytest.approx([start + 0.5 for start in starts])


def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    model: SatsModel, codec: SatsCodec
) -> None:
    scripted = Scripted(model, codec, most=1)
    found = Recognizer(scripted).recognize(recordings(2.0, 2.0, 3.0))
    assert scripted.batches == [3, 1, 2, 1, 1]
    assert [len(r.spoken) for r in found] == [1, 1, 1] and not any(r.is_failed for r in found)
    found = Recognizer(Scripted(model, codec, most=0)).recognize(recordings(2.0))
    assert found[0].is_failed and found[0].faults == ("out of memory",)


def test_an_answer_that_cannot_be_read_is_a_fault_and_silence_is_none(
    model: SatsModel, codec: SatsCodec
) -> None:
    scripted = Scripted(model, codec)
    scripted.is_readable = False
    loud, silent = Recognizer(scripted).recognize(
        [*recordings(2.0), Recording(id="quiet", samples=np.zeros(RATE, np.float32))]
    )
    assert loud.is_failed and loud.faults == ("the answer cannot be read",)
    assert not silent.is_failed and silent.spoken == ()
    assert scripted.batches == [1]
