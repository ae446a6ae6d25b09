"""Who speaks when is found from local speakers and voices, however a recording is read.

The models of these tests hear people as tones: the law of the diarizer can be told from theirs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.backends.base import BackendError, BranchResult, make_backend
from talkover.annotate.backends.diarizer import DIARIZERS, TalkoverDiarizer, overlap_events
from talkover.annotate.diarization import windows as windows_module
from talkover.annotate.diarization.stitching import PersonTurn
from talkover.annotate.diarization.windows import num_windows
from talkover.annotate.events import Curve, check_events
from talkover.annotate.media import RATE, DecodedAudio, decode, open_recording
from talkover.annotate.speaker_count import SpeakerCount
from talkover.manifests.errors import ConfigurationError

Turns = list[tuple[int, float, float]]  # person, start and end in seconds
Decoder = Callable[[np.ndarray], DecodedAudio]

FRAME = 640
BIN = 25  # Hz of a bin of a frame
FIRST_BIN, STEP = 20, 6  # people are tones 150 Hz apart from 500 Hz on
MOST = 6


def tones(turns: Turns, seconds: float) -> np.ndarray:
    """A person is a tone of 0.05."""
    signal = np.zeros(round(seconds * RATE))
    t = np.arange(len(signal)) / RATE
    for person, start, end in turns:
        at = slice(round(start * RATE), round(end * RATE))
        signal[at] += 0.05 * np.sin(2 * np.pi * BIN * (FIRST_BIN + STEP * person) * t[at])
    return signal


def heard(samples: np.ndarray) -> np.ndarray:
    """Amplitude of each person in each frame, ``[F, K]``."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    spectra = np.abs(np.fft.rfft(frames, axis=1)) * 2 / FRAME / 0.05
    return spectra[:, FIRST_BIN : FIRST_BIN + STEP * MOST : STEP].astype(np.float32)


class TonePeople:
    """Up to three people of a window, in an order of its own."""

    window_samples, frame_samples = 250 * FRAME, FRAME

    def window(self, samples: np.ndarray) -> np.ndarray:
        result = np.zeros((len(samples), 250, 3), dtype=np.float32)
        for number, window in enumerate(samples):
            amplitude = heard(window)
            present = np.argsort(-amplitude.sum(axis=0))[:3]
            order = np.random.default_rng(int(1000 * amplitude.sum())).permutation(3)
            result[number] = np.clip(amplitude[:, present[order]], 0, 1)
        return result


class ToneVoices:
    """The person's tone as a voice, with a neighbour's tone mixed in."""

    frame_samples, halo_s = FRAME, 0.0

    def features(self, samples: np.ndarray) -> np.ndarray:
        return heard(samples)

    def pool(self, features: np.ndarray, masks: np.ndarray) -> np.ndarray:
        mean = masks @ features / np.maximum(masks.sum(axis=1, keepdims=True), 1e-9)
        return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)


@pytest.fixture
def decoded(tmp_path: Path) -> Decoder:
    def make(signal: np.ndarray) -> DecodedAudio:
        soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="PCM_16")
        return decode(open_recording(tmp_path / "a.wav"), tmp_path / "a.pcm")

    return make


def diarizer(**options: object) -> TalkoverDiarizer:
    backend = TalkoverDiarizer(TonePeople(), ToneVoices(), **options)
    backend.load()
    return backend


def turns_of(result: BranchResult) -> list[tuple[str, float, float]]:
    return [
        (str(e.speaker), e.start / RATE, e.end / RATE) for e in result.events if e.kind == "turn"
    ]


def conversation(people: int, seconds: float, seed: int = 0) -> Turns:
    """Turns of 2 to 4 s, some overlapping the one before, silences between others."""
    rng = np.random.default_rng(seed)
    turns: Turns = []
    at, last = 0.4, -1
    while at < seconds - 5:
        person = int(rng.choice([p for p in range(people) if p != last] or [0]))
        end = at + float(rng.uniform(2, 4))
        turns.append((person, at, end))
        at = end + (0.8 if people == 1 else float(rng.choice([-0.6, 0.0, 0.8])))
        last = person
    return turns


def check_same(found: list[tuple[str, float, float]], wanted: Turns) -> None:
    """The same turns within a frame, and one name a person."""
    assert len(found) == len(wanted)
    names = {}
    for (speaker, start, end), (person, begin, stop) in zip(
        found, sorted_turns(wanted), strict=True
    ):
        assert names.setdefault(person, speaker) == speaker
        assert start == pytest.approx(begin, abs=0.045)
        assert end == pytest.approx(stop, abs=0.045)
    assert len(set(names.values())) == len(names)


def sorted_turns(turns: Turns) -> Turns:
    return sorted(turns, key=lambda turn: (turn[1], turn[2]))


@pytest.mark.parametrize("people", [1, 2, 5])
def test_turns_come_out_as_they_were_said(decoded: Decoder, people: int) -> None:
    turns = conversation(people, 90.0)
    result = diarizer(similarity=0.5).run(decoded(tones(turns, 90.0)), {})
    check_same(turns_of(result), turns)
    assert result.figures["num_speakers"] == people


def test_overlaps_are_kept_for_both(decoded: Decoder) -> None:
    turns: Turns = [(0, 1.0, 5.0), (1, 4.0, 8.0), (0, 7.0, 11.0), (1, 12.0, 15.0)]
    result = diarizer(similarity=0.5).run(decoded(tones(turns, 16.0)), {})
    check_same(turns_of(result), turns)
    overlaps = [(e.start / RATE, e.end / RATE) for e in result.events if e.kind == "overlap"]
    assert np.allclose(overlaps, [(4.0, 5.0), (7.0, 8.0)], atol=0.045)
    assert all(0 <= e.confidence <= 1 for e in result.events)


def test_reading_in_other_pieces_changes_nothing(
    decoded: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = decoded(tones(conversation(4, 120.0, seed=2), 120.0))
    whole = diarizer(block_seconds=40.0).run(audio, {})
    for size in (1, 7):
        monkeypatch.setattr(windows_module, "WINDOWS_AT_ONCE", size)
        assert diarizer(block_seconds=40.0).run(audio, {}).events == whole.events


def test_blocks_are_joined(decoded: Decoder) -> None:
    turns = conversation(3, 150.0, seed=1)
    result = diarizer(similarity=0.5, block_seconds=20.0).run(decoded(tones(turns, 150.0)), {})
    check_same(turns_of(result), turns)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (SpeakerCount(exact=2), 2),
        (SpeakerCount(exact=3), 3),
        (SpeakerCount(exact=5), 5),
        (SpeakerCount(least=4), 4),
        (SpeakerCount(most=2), 2),
        (SpeakerCount(least=1, most=9), 3),
    ],
)
@pytest.mark.parametrize("block", [20.0, 600.0])
def test_numbers_of_speakers_are_kept(
    decoded: Decoder, count: SpeakerCount, expected: int, block: float
) -> None:
    audio = decoded(tones(conversation(3, 60.0), 60.0))
    result = diarizer(similarity=0.5, block_seconds=block).run(audio, {}, speakers=count)
    assert len({name for name, _, _ in turns_of(result)}) == expected
    assert result.figures["num_speakers"] == expected
    check_events(result.events, audio.num_samples, where="test")


def test_somebody_who_cannot_be_found_is_said(decoded: Decoder) -> None:
    audio = decoded(tones([(0, 1.0, 3.0)], 4.0))
    result = diarizer().run(audio, {}, speakers=SpeakerCount(exact=4))
    assert result.warnings == ("4 speakers were asked for, but only 1 are heard",)


@pytest.mark.parametrize("samples", [1, 639, 641, 16001, 160001, 200003])
def test_no_turn_is_beyond_the_end(decoded: Decoder, samples: int) -> None:
    signal = tones([(0, 0.0, 30.0)], 30.0)[:samples]
    audio = decoded(signal)
    result = diarizer().run(audio, {})
    check_events(result.events, samples, where="test")
    if samples > RATE:  # the tail is kept
        assert max(e.end for e in result.events) >= samples - FRAME


def test_silence_has_nobody(decoded: Decoder) -> None:
    result = diarizer().run(decoded(np.zeros(40 * RATE)), {})
    assert result.events == () and result.figures["num_speakers"] == 0


def test_the_voice_activity_branch_can_have_a_say(decoded: Decoder) -> None:
    audio = decoded(tones([(0, 1.0, 9.0)], 10.0))
    curve = np.zeros(audio.num_samples // 512 + 1, dtype=np.float32)
    curve[: 5 * RATE // 512] = 0.9
    asked = DIARIZERS["talkover"](TonePeople(), ToneVoices()).info()
    upstream = {
        "vad": BranchResult(
            backend=asked, curves={"speech": Curve(name="speech", hop=512, values=curve)}
        )
    }
    (unasked,) = turns_of(diarizer(vad_floor=0.0).run(audio, upstream))
    (gated,) = turns_of(diarizer(vad_floor=0.2).run(audio, upstream))
    assert unasked[2] == pytest.approx(9.0, abs=0.05)
    assert gated[2] == pytest.approx(5.0, abs=0.05)


def test_thresholds_come_with_the_segmentation_model() -> None:
    class Calibrated(TonePeople):
        settings: ClassVar = {"diarizer": {"vad_floor": 0.3, "overlap": 0.4, "similarity": 0.2}}

    backend = TalkoverDiarizer(Calibrated(), ToneVoices(), overlap=0.7)
    backend.load()
    assert (backend.config.vad_floor, backend.config.similarity) == (0.3, 0.2)
    assert backend.config.stitch.overlap == 0.7  # what was asked wins
    assert backend.info().version != TalkoverDiarizer(TonePeople(), ToneVoices()).info().version
    Calibrated.settings = {"diarizer": {"volume": 11}}
    with pytest.raises(ConfigurationError, match=r"settings.diarizer: .*volume"):
        TalkoverDiarizer(Calibrated(), ToneVoices()).load()


def test_unknown_options_and_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="loudness"):
        make_backend("diarizer", "talkover", DIARIZERS, {"loudness": 3})
    ok, reason = TalkoverDiarizer(tmp_path / "none", ToneVoices()).available()
    assert not ok and "none" in reason
    with pytest.raises(BackendError, match="not loaded"):
        TalkoverDiarizer(TonePeople(), ToneVoices()).run(DecodedAudio(tmp_path / "x", 1), {})
    with pytest.raises(ValueError, match="hop"):
        diarizer(hop=20.0).run(DecodedAudio(tmp_path / "x", 1), {})


@given(st.integers(1, 500), st.integers(10, 60), st.integers(1, 60))
@settings(max_examples=100)
def test_windows_cover_everything_and_no_more_than_needed(total: int, size: int, hop: int) -> None:
    hop = min(hop, size)
    count = num_windows(total, size, hop)
    assert (count - 1) * hop + size >= total
    assert count == 1 or (count - 2) * hop + size < total


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 60), st.integers(1, 20)),
        min_size=0,
        max_size=12,
    )
)
@settings(max_examples=100)
def test_overlaps_are_where_two_people_speak(spans: list[tuple[int, int, int]]) -> None:
    turns = [PersonTurn(person=p, start=s, end=s + n, activity=0.5) for p, s, n in spans]
    active = np.zeros((4, 100), dtype=bool)
    for turn in turns:
        active[turn.person, turn.start : turn.end] = True
    found = np.zeros(100, dtype=bool)
    for event in overlap_events(turns):
        assert not found[event.start : event.end].any()
        found[event.start : event.end] = True
    assert np.array_equal(found, active.sum(axis=0) >= 2)
