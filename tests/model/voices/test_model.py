"""Voices as part of a model: sums that grow in training, speakers of found words."""

from __future__ import annotations

import numpy as np
import torch

from talkover.model.onsets import Found, Unit
from talkover.model.voices.hearing import beginnings, said_words
from talkover.model.voices.model import VoiceConfig, VoiceModel

BANDS, RATE = 20, 100.0
SPEAKERS = 12
UNKNOWN = [0] * 6
"""Kinds of six words that are not known."""


def made() -> VoiceModel:
    return VoiceModel(
        VoiceConfig(directions=8),
        num_mels=BANDS,
        frame_rate=RATE,
        sampling_rate=16000,
        num_voices=SPEAKERS,
        num_kinds=3,
    )


def colours() -> np.ndarray:
    return 2.0 * np.random.default_rng(0).standard_normal((SPEAKERS + 3, BANDS))


def recording(who: list[int], seed: int) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Words of 0.5 s, 0.1 s apart within a run of one speaker and 0.4 s between speakers."""
    rng = np.random.default_rng(seed)
    spans, at, last = [], 0.1, who[0]
    for speaker in who:
        at += 0.1 if speaker == last else 0.4
        spans.append((at, at + 0.5))
        at, last = at + 0.5, speaker
    features = rng.standard_normal((int(at * RATE) + 20, BANDS)) - 3.0
    for speaker, (start, end) in zip(who, spans, strict=True):
        place = slice(int(start * RATE), int(end * RATE))
        features[place] += colours()[speaker] + 3.0 + rng.standard_normal(BANDS)  # colour of a word
    return features.astype(np.float32), spans


def trained() -> VoiceModel:
    model = made()
    rng = np.random.default_rng(1)
    for batch in range(40):
        two = rng.choice(SPEAKERS, 2, replace=False)
        who = [int(two[n]) for n in (0, 0, 1, 0, 1, 1)]
        features, spans = recording(who, batch)
        model.observe(
            [torch.from_numpy(features)],
            [spans],
            [[int(w == two[1]) for w in who]],
            [who],
            [UNKNOWN],
        )
    return model


def test_words_of_unseen_voices_go_to_the_right_speakers() -> None:
    model = trained()
    right = total = 0
    for seed in range(20):
        order = [[0, 0, 1, 1, 0, 2], [0, 1, 1, 0, 0, 1], [0, 0, 0, 0]][seed % 3]
        features, spans = recording([SPEAKERS + n for n in order], 100 + seed)
        found = model.speakers_of(features, spans, [0] * len(spans), 4)
        right += sum(a == b for a, b in zip(found, order, strict=True))
        total += len(order)
    assert right / total > 0.9


def test_nothing_is_known_before_training() -> None:
    features, spans = recording([0, 1, 2], 0)
    assert made().plda is None
    assert made().speakers_of(features, spans, [1, 1, 2], 4) == [0, 0, 0]


def test_batches_may_be_given_one_by_one_or_together() -> None:
    one, both = made(), made()
    items = [recording([n, n, n + 1], n) for n in range(6)]
    rows = [
        (torch.from_numpy(f), s, [0, 0, 1], [n, n, n + 1], [1, 2, 0])
        for n, (f, s) in enumerate(items)
    ]
    for row in rows:
        one.observe(*([part] for part in row))
    both.observe(*(list(part) for part in zip(*rows, strict=True)))
    for name, buffer in one.named_buffers():
        torch.testing.assert_close(buffer, dict(both.named_buffers())[name])
    assert float(one.counts.sum()) == 18


def test_unknown_voices_count_for_pauses_alone() -> None:
    model = made()
    features, spans = recording([0, 0, 1], 0)
    model.observe(
        [torch.from_numpy(features)], [spans], [[0, 0, 1]], [[-100, -100, -100]], [[1, 2, 1]]
    )
    assert float(model.counts.sum()) == 0 and float(model.own_pauses.sum()) == 1
    assert model.arrivals.sum((1, 2)).tolist() == [2, 1]


def test_words_begin_at_their_vectors() -> None:
    features, spans = recording([0, 1], 5)
    found = [[Found(unit=Unit(start=s, end=e, kind=1), frame=0) for s, e in spans], []]
    rows = torch.from_numpy(np.stack([features, features]))
    said = said_words(made(), rows, found, most=4)
    begun = beginnings(said, rate=12.5, frames=30, most=4)
    places = [int(start * 12.5) for start, _ in spans]
    assert begun.speakers.sum() == 2 and begun.speakers[0, places, 0].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(begun.ends[0, places], [end for _, end in spans], atol=1e-6)
    np.testing.assert_allclose(begun.starts[0, places], [start for start, _ in spans], atol=1e-6)
    np.testing.assert_allclose(begun.before[0, places], [-1.0, spans[0][0]], atol=1e-6)
    assert begun.is_last.nonzero().tolist() == [[0, places[1]]]
    assert (begun.ends[1] == -1).all()
