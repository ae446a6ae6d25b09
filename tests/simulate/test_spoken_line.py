"""Synthesised samples and events become trimmed utterances whose words are where the sound is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.simulate.espeak import Speech
from talkover.simulate.spoken_line import (
    MARGIN,
    SAMPLING_RATE,
    UnalignedLine,
    spoken_line,
    word_starts,
)

RATE = 22_050


def tones(pieces: list[tuple[float, bool]]) -> bytes:
    """Tone bursts and silences, as (seconds, sounding) one after the other."""
    parts = []
    for seconds, sounding in pieces:
        clock = np.arange(round(seconds * RATE)) / RATE
        parts.append(sounding * 8000 * np.sin(2 * np.pi * 400 * clock))
    return np.concatenate(parts).astype("<i2").tobytes()


def said(pieces: list[tuple[float, bool]], *words: tuple[int, float]) -> Speech:
    events = tuple((position, round(start * RATE)) for position, start in words)
    return Speech(pcm=tones(pieces), sampling_rate=RATE, words=events)


def test_silence_around_the_speech_is_cut_and_word_times_move_with_it() -> None:
    speech = said([(0.3, False), (0.5, True), (0.4, True), (0.6, False)], (0, 0.0), (3, 0.8))
    line = spoken_line("oh really", speech)
    assert line.text == "oh really"
    assert line.samples.dtype == np.int16
    margin = MARGIN / SAMPLING_RATE
    assert len(line.samples) / SAMPLING_RATE == pytest.approx(0.9 + 2 * margin, abs=0.011)
    (_, start, duration), (_, second, last) = line.words
    assert start == pytest.approx(margin, abs=0.006)
    assert start + duration == pytest.approx(second)
    assert second == pytest.approx(margin + 0.5, abs=0.006)
    assert second + last == pytest.approx(margin + 0.9, abs=0.006)


def test_a_word_ends_before_a_long_pause_and_lasts_through_a_closure() -> None:
    pieces = [(0.3, True), (0.3, False), (0.2, True), (0.06, False), (0.2, True)]
    line = spoken_line("well, up it", said(pieces, (0, 0.0), (6, 0.6), (9, 0.86)))
    assert [symbol for symbol, _, _ in line.words] == ["well", "up", "it"]
    ends = [start + duration for _, start, duration in line.words]
    starts = [start for _, start, _ in line.words]
    assert starts[1] - ends[0] == pytest.approx(0.3, abs=0.01)
    assert starts[2] == pytest.approx(ends[1])


def test_a_line_in_which_the_engine_merged_words_is_refused() -> None:
    speech = said([(1.0, True)], (0, 0.0), (7, 0.5))
    with pytest.raises(UnalignedLine, match="merged 'of'"):
        spoken_line("out of it", speech)


def test_events_inside_a_word_do_not_count() -> None:
    assert word_starts("今天 好", ((0, 5), (1, 90), (3, 200))) == [5, 200]


def test_words_out_of_order_are_refused() -> None:
    with pytest.raises(UnalignedLine, match="'b' does not start after"):
        word_starts("a b", ((0, 90), (2, 90)))


@pytest.mark.parametrize("pcm", [b"", tones([(0.5, False)])])
def test_silence_is_no_speech(pcm: bytes) -> None:
    with pytest.raises(UnalignedLine, match="no speech"):
        spoken_line("yes", Speech(pcm=pcm, sampling_rate=RATE, words=((0, 0),)))


@settings(deadline=None, max_examples=30)
@given(
    durations=st.lists(st.floats(0.05, 0.4), min_size=1, max_size=6),
    pauses=st.lists(st.floats(0.0, 0.3), min_size=7, max_size=7),
)
def test_words_are_in_order_apart_and_inside_the_audio(
    durations: list[float], pauses: list[float]
) -> None:
    pieces: list[tuple[float, bool]] = [(pauses[-1], False)]
    words, clock = [], pauses[-1]
    for index, (duration, pause) in enumerate(zip(durations, pauses, strict=False)):
        words.append((2 * index, clock))
        pieces += [(duration, True), (pause, False)]
        clock += duration + pause
    line = spoken_line(" ".join("a" for _ in durations), said(pieces, *words))
    assert len(line.words) == len(durations)
    last_end = 0.0
    for _, start, duration in line.words:
        assert duration > 0
        assert start >= last_end - 1e-9
        last_end = start + duration
    length = len(line.samples) / SAMPLING_RATE
    assert length - MARGIN / SAMPLING_RATE - 0.006 <= last_end <= length
