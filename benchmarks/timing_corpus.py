"""A corpus of durations without audio: enough to plan with, at a thousandth of the size.

Drawn to be like LibriSpeech (Panayotov et al. 2015): read sentences, two thirds of them cut at 12
to 17 s by its segmentation, the others shorter; about 2.7 words a second; a sixth of the gaps
between words is a pause. Word times are known, as after forced alignment, so sentences can be cut.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.regions import join_regions
from talkover.manifests.seeds import content_id
from talkover.simulate.source_cache import CachedUtterance, SourceCache

RATE = 16000
LONG_SHARE, LONG, LONG_DEVIATION, SHORT = 0.65, 14.5, 1.3, (1.5, 13.0)
"""Share, mean and deviation (seconds) of the long sentences; range of the others."""
WORD_MEDIAN, WORD_SIGMA = 0.28, 0.5
PAUSE_SHARE, PAUSE_MEDIAN, PAUSE_SIGMA = 0.16, 0.25, 0.6


class TimingCorpus(SourceCache):
    """Utterances with times and no samples.

    Args:
        speakers: Number of speakers.
        utterances: Of each speaker.
        words: Whether word times are known.
        seed: Of all durations.
    """

    def __init__(
        self, speakers: int = 100, utterances: int = 60, *, words: bool = True, seed: int = 0
    ) -> None:
        """Draw all durations."""
        rng = np.random.default_rng(seed)
        count = speakers * utterances
        self.folder = Path("no-folder")
        self.sampling_rate, self.num_utterances = RATE, count
        self.speakers = [f"spk{n:04d}" for n in range(speakers)]
        self.languages, self.topics = ["en"], [f"book{n}" for n in range(max(1, speakers // 8))]
        self.corpus_hash = content_id(f"{speakers} {utterances} {words} {seed}", length=64)
        self._sentences = [self._sentence(n, utterances, words, rng) for n in range(count)]
        self.__dict__.update(
            speaker_no=np.repeat(np.arange(speakers, dtype=np.int32), utterances),
            language_no=np.zeros(count, dtype=np.int32),
            topic_no=np.repeat(np.arange(speakers) % len(self.topics), utterances),
            has_text=np.ones(count, dtype=bool),
            speech_duration=np.array([u.speech_samples / RATE for u in self._sentences]),
            num_regions=np.array([len(u.regions) for u in self._sentences]),
            region_duration=np.array(
                [sum(b - a for a, b in u.regions) / RATE for u in self._sentences]
            ),
        )

    def utterances_of(self, speaker_no: int) -> NDArray[np.int64]:
        """Numbers of one speaker's utterances."""
        return np.flatnonzero(self.speaker_no == speaker_no)

    def utterance(self, number: int) -> CachedUtterance:
        """All that is known of one."""
        return self._sentences[number]

    def _sentence(
        self, number: int, utterances: int, has_words: bool, rng: np.random.Generator
    ) -> CachedUtterance:
        is_long = rng.random() < LONG_SHARE
        length = rng.normal(LONG, LONG_DEVIATION) if is_long else rng.uniform(*SHORT)
        words, at = [], round(0.3 * RATE)
        while not words or at < (length - 0.3) * RATE:
            duration = round(WORD_MEDIAN * rng.lognormal(0, WORD_SIGMA) * RATE)
            words.append((f"w{rng.integers(5000)}", at, duration))
            at += duration
            if rng.random() < PAUSE_SHARE:
                at += round(PAUSE_MEDIAN * rng.lognormal(0, PAUSE_SIGMA) * RATE)
        regions = join_regions([(a, a + n) for _, a, n in words], RATE)
        return CachedUtterance(
            utterance_id=f"{number // utterances}-{number}-{number % utterances:04d}",
            speaker=self.speakers[number // utterances],
            corpus="timing",
            recording_id=f"r{number}",
            num_samples=at + round(0.3 * RATE),
            regions=tuple((int(a), int(b)) for a, b in regions),
            sha256="0" * 64,
            level_dbfs=-26.0,
            peak_dbfs=-10.0,
            noise_floor_dbfs=-70.0,
            text=" ".join(word for word, _, _ in words),
            words=tuple(words) if has_words else None,
            word_source="alignment" if has_words else None,
            language="en",
        )
