"""Sessions for tests: one with everything in it, random ones, and one with its files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from talkover.manifests.audio import file_sha256, write_audio
from talkover.manifests.canonical import json_sha256
from talkover.manifests.exports import write_labels
from talkover.manifests.io import write_sessions
from talkover.manifests.regions import join_regions
from talkover.manifests.schema import (
    Audio,
    ChannelEffect,
    Claim,
    Licences,
    Microphones,
    Mix,
    Noise,
    Provenance,
    RegistrationClip,
    Room,
    Scene,
    Seat,
    Session,
    SoundEvent,
    Source,
    SpeakerLevel,
    Stem,
    Supervision,
    Word,
    span_fields,
    time_span,
)
from talkover.manifests.statistics import session_statistics

RATE = 16000
ZERO_HASH = "0" * 64
Spoken = tuple[str, int, list[tuple[str, int, int]] | None]
"""Speaker, start sample, words as (symbol, start after that, samples); or no word times."""


def _supervision(
    session: str, n: int, local: str, speaker: str, start: int, words: list, with_words: bool
) -> Supervision:
    timed = tuple(Word(symbol=w, score=0.5, **span_fields(start + a, c, RATE)) for w, a, c in words)
    runs = join_regions([(w.start_sample, w.end_sample) for w in timed], RATE).tolist()
    first, last = runs[0][0], runs[-1][1]
    return Supervision(
        id=f"{session}-{n:05d}",
        turn_id=f"{session}-t{n:05d}",
        speaker=speaker,
        speaker_local=local,
        **span_fields(first, last - first, RATE),  # type: ignore[arg-type]
        regions=tuple(time_span(a, b - a, RATE) for a, b in runs),
        text=" ".join(w for w, _, _ in words),
        language="en",
        words=timed if with_words else None,
        word_samples=tuple((w.start_sample, w.num_samples) for w in timed) if with_words else None,
        word_source="reference" if with_words else None,
        source=Source(
            corpus="made-up",
            recording_id="r",
            utterance_id=f"{speaker}-{n}",
            offset=0.0,
            duration=1.0,
            licence="CC0-1.0",
        ),
        gain_db=-1.5,
        claim=Claim(backend="none", version="1", confidence=0.25),
    )


def build(
    spoken: Sequence[tuple[str, int, list, bool]],
    *,
    id: str = "session-1",
    num_samples: int = 160000,
    channels: int = 1,
) -> Session:
    """A session that breaks no rule, of (speaker, start, words, has word times)."""
    names: dict[str, str] = {}
    rows = []
    for n, (speaker, start, words, with_words) in enumerate(sorted(spoken, key=lambda s: s[1])):
        local = names.setdefault(speaker, f"S{len(names) + 1:02d}")
        rows.append(_supervision(id, n, local, speaker, start, words, with_words))
    rows.sort(key=lambda row: row.start_sample)
    configuration = {"b": [1, 2.5, None], "a": {"z": None, "y": "ü"}}
    return Session(
        id=id,
        origin="simulated",
        audio=Audio(
            path=f"audio/{id}.wav",
            sha256=ZERO_HASH,
            pcm_sha256=ZERO_HASH,
            sampling_rate=RATE,
            num_samples=num_samples,
            num_channels=channels,
            format="wav",
            subtype="PCM_16",
        ),
        supervisions=tuple(rows),
        statistics=session_statistics(rows, num_samples, RATE),
        provenance=Provenance(
            tool="a test",
            version="1",
            configuration=configuration,
            configuration_hash=json_sha256(configuration),
        ),
        licences=Licences(spdx=("CC0-1.0",)),
        uem=(time_span(0, num_samples, RATE),),
    )


def words(*spans: tuple[int, int]) -> list[tuple[str, int, int]]:
    """Words of two letters at (start, samples)."""
    return [(chr(97 + n) * 2, start, count) for n, (start, count) in enumerate(spans)]


@pytest.fixture(scope="session")
def make_session() -> Callable[..., Session]:
    """A session from (speaker, start, words, has word times) rows; see `build`."""
    return build


@pytest.fixture(scope="session")
def full_session() -> Session:
    """A session with every kind of field in it."""
    channels = 2
    plain = build(
        [
            ("ana", 1600, words((0, 4000), (4800, 8000)), True),
            ("bo", 16000, words((0, 8000), (12000, 8000)), False),
            ("ana", 60000, words((0, 4000)), True),
        ],
        channels=channels,
    )
    return plain.model_copy(
        update={
            "split": "train",
            "events": (
                SoundEvent(id="e1", kind="sound", label="door", **span_fields(100, 900, RATE)),
            ),
            "scene": Scene(
                room=Room(kind="shoebox", id="room-1", dimensions_m=(4.0, 5.0, 3.0), t60_asked=0.3),
                microphones=Microphones(
                    name="pair", positions_m=((1.0, 1.0, 1.0), (1.1, 1.0, 1.0)), devices=(0, 0)
                ),
                seats=(
                    Seat(speaker_local="S01", position_m=(2.0, 2.0, 1.2), drr_db=3.5),
                    Seat(speaker_local="S02", position_m=(3.0, 2.0, 1.2)),
                ),
            ),
            "noise": (
                Noise(
                    id="n1",
                    kind="ambient",
                    licence="CC0-1.0",
                    snr_db_asked=20.0,
                    snr_db_measured=20.01,
                    snr_definition="as it is",
                ),
            ),
            "levels": (
                SpeakerLevel(
                    speaker_local="S01", unit="lufs", asked=-26.0, measured=-26.1, definition="all"
                ),
            ),
            "channel": (ChannelEffect(name="telephone", parameters={"z": None, "a": [1, {}]}),),
        }
    )


@pytest.fixture(scope="session")
def sessions() -> st.SearchStrategy[Session]:
    """Random sessions that break no rule, up to four speakers, with and without word times."""

    @st.composite
    def strategy(draw: st.DrawFn) -> Session:
        position: dict[str, int] = {}
        rows = []
        for _ in range(draw(st.integers(1, 6))):
            speaker = draw(st.sampled_from(["ana", "bo", "cy", "dee"]))
            start = position.get(speaker, 0) + draw(st.integers(3200, 30000))
            spans, clock = [], 0
            for n in range(draw(st.integers(1, 4))):
                count = draw(st.integers(1, 9000))
                symbol = draw(st.text("abcxyzäß你好é'", min_size=1, max_size=6))
                spans.append((symbol if n else f"a{symbol}", clock, count))
                clock += count + draw(st.integers(0, 3199))
            rows.append((speaker, start, spans, draw(st.booleans())))
            position[speaker] = start + clock
        length = max(position.values()) + draw(st.integers(1, 20000))
        return build(rows, num_samples=length, channels=draw(st.sampled_from([1, 2, 5])))

    return strategy()


@pytest.fixture
def produced(tmp_path: Path, produced_once: Path) -> Path:
    """A folder with the full session and its files: audio, stems, registration, labels."""
    return Path(shutil.copytree(produced_once, tmp_path, dirs_exist_ok=True))


@pytest.fixture(scope="session")
def produced_once(tmp_path_factory: pytest.TempPathFactory, full_session: Session) -> Path:
    """What `produced` is a copy of; not to be changed."""
    tmp_path = tmp_path_factory.mktemp("produced")
    rng = np.random.default_rng(1)
    audio, count = full_session.audio, full_session.audio.num_samples
    stems, total = [], np.zeros((2, count))
    for kind, local in (("speaker", "S01"), ("speaker", "S02"), ("noise", None)):
        signal = np.round(rng.uniform(-0.2, 0.2, (2, count)) * 2**23) / 2**23
        path = f"stems/{local or 'noise'}.wav"
        (tmp_path / path).parent.mkdir(exist_ok=True)
        write_audio(
            tmp_path / path, [signal.astype(np.float32)], RATE, format="wav", subtype="PCM_24"
        )
        stems.append(
            Stem(
                kind=kind,  # type: ignore[arg-type]
                speaker_local=local,
                path=path,
                sha256=file_sha256(tmp_path / path),
                subtype="PCM_24",
            )
        )
        total += signal
    (tmp_path / "audio").mkdir()
    written = write_audio(
        tmp_path / audio.path, [total.astype(np.float32)], RATE, format="wav", subtype="PCM_16"
    )
    (tmp_path / "registration").mkdir()
    clip = "registration/ana.wav"
    write_audio(
        tmp_path / clip, [np.ones(8000, np.float32) / 4], RATE, format="wav", subtype="PCM_16"
    )
    session = full_session.model_copy(
        update={
            "audio": audio.model_copy(
                update={
                    "sha256": file_sha256(tmp_path / audio.path),
                    "pcm_sha256": written.pcm_sha256,
                }
            ),
            "mix": Mix(gain_db=0.0, peak_dbfs=-1.0, clipped_samples=0, stems=tuple(stems)),
            "channel": (),
            "registration": (
                RegistrationClip(
                    speaker="ana",
                    speaker_local="S01",
                    path=clip,
                    sha256=file_sha256(tmp_path / clip),
                    duration=0.5,
                    utterance_ids=("other",),
                ),
            ),
        }
    )
    write_sessions(tmp_path / "cuts.jsonl", [session])
    write_labels(tmp_path, [session])
    return tmp_path
