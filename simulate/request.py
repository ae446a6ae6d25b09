"""What a run is asked to make, and how large that is, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from talkover.manifests.audio_writing import MOST_FLAC_CHANNELS
from talkover.manifests.errors import ConfigurationError
from talkover.simulate.config import SimulationConfig
from talkover.simulate.conversation import open_turn_taking
from talkover.simulate.corpus import Rejection, open_corpora
from talkover.simulate.devices import count_channels
from talkover.simulate.lengths import SessionLengths, check_amount
from talkover.simulate.providers import make_provider
from talkover.simulate.session import OutputFormat
from talkover.simulate.turn_targets import MAX_SPEAKERS

LEAST_SESSIONS = 4
"""Of a run whose lengths come from the turn-taking model."""
SIZES_LOOKED_AT = 100
"""Sessions whose number of speakers is drawn where nobody asked for one, to estimate sizes."""
FLAC_SHARE = 0.6
"""Size of 16-bit FLAC over PCM, as seen on simulated meetings with noise at 10 to 25 dB."""
EXPECTED_SPEED = 2000.0
"""Times real time of one worker that renders one channel, for `estimate`: rounded down from
``benchmarks/simulate.py`` (4 speakers, room of 0.6 s, WAV) on a quiet core."""
CHANNEL_COST = 1 / 3
"""Of one more channel, as a share of the whole cost of the first: 600 times real time for eight."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """Everything that a run needs; what decides its bytes and what does not."""

    out: Path
    corpora: tuple[str, ...]
    config: SimulationConfig = field(default_factory=SimulationConfig)
    seed: int = 0
    hours: float | None = None
    sessions: int | None = None
    output: OutputFormat = field(default_factory=OutputFormat)
    channel: int | Literal["mean"] = "mean"
    """Which channel of a multichannel source is used."""
    cache: Path | None = None
    """Folder of decoded sources; default ``run/cache`` of `out`."""


def sized(request: RunRequest) -> tuple[RunRequest, int]:
    """The request and its number of sessions; hours bound the lengths that a model may draw.

    A run of few hours gets at least `LEAST_SESSIONS` sessions, so that a look at it shows more than
    one conversation, and its length comes out near what was asked.

    Raises:
        ConfigurationError: If the amount is said twice or is not positive, or a model is wrong.
    """
    check_amount(request.hours, request.sessions)
    config = request.config
    turn_taking = open_turn_taking(config.turns.model)
    longest = turn_taking.longest(config)
    hours = request.hours
    if hours is not None and config.session.length is None and longest is not None:
        bound = hours * 3600 / LEAST_SESSIONS
        if bound < longest:
            session = config.session.model_copy(update={"longest": bound})
            config = config.model_copy(update={"session": session})
            request = replace(request, config=config)
    lengths = SessionLengths(config, turn_taking, request.seed)
    return request, lengths.count(request.hours, request.sessions)


def estimate(request: RunRequest, *, jobs: int = 1) -> dict[str, float | int | str]:
    """What a run would make, from its configuration alone; decodes and writes nothing.

    Sizes are of 16-bit FLAC at `FLAC_SHARE` of PCM, or of WAV; minutes are those of rendering at
    `EXPECTED_SPEED` and `CHANNEL_COST` per worker, without decoding the corpus and without
    channel effects, walking speakers, stems and targets.

    Raises:
        ConfigurationError: If the request cannot work.
        ManifestError: If a corpus' manifest cannot be read.
    """
    request, count = sized(request)
    turn_taking = open_turn_taking(request.config.turns.model)
    lengths = SessionLengths(request.config, turn_taking, request.seed)
    seconds = sum(lengths.of(index) for index in range(count))
    most_speakers = _most_speakers(request, count)
    channels = _most_channels(request.config, most_speakers)
    share = FLAC_SHARE if request.output.format == "flac" else 1.0
    pcm = seconds * request.config.sampling_rate * channels * 2
    targets = request.output.all_targets
    stems = pcm * 1.5 * share * (most_speakers * len(targets) + bool(targets))  # 24 bit
    utterances = rejected = 0
    for row in open_corpora(request.corpora, channel=request.channel):
        if isinstance(row, Rejection):
            rejected += 1
        else:
            utterances += 1
    speed = EXPECTED_SPEED / (1 + CHANNEL_COST * (channels - 1))
    return {
        "sessions": count,
        "hours": round(seconds / 3600, 3),
        "utterances": utterances,
        "rejected_rows": rejected,
        "gigabytes": round((pcm * share + stems) / 1e9, 3),
        "minutes": round(seconds / speed / jobs / 60, 2),
        "out": str(request.out),
    }


def _most_speakers(request: RunRequest, count: int) -> int:
    """Speakers of the largest session, as asked, or of the first sessions as drawn."""
    if request.config.session.speakers is not None:
        return request.config.session.speakers[1]
    turn_taking = open_turn_taking(request.config.turns.model)
    return max(
        turn_taking.draw_size(request.seed, n, request.config, MAX_SPEAKERS).speakers
        for n in range(min(count, SIZES_LOOKED_AT))
    )


def _most_channels(config: SimulationConfig, most_speakers: int) -> int:
    """Channels of the largest session; 1 where measured responses decide."""
    if make_provider(config.room.kind).geometry != "shoebox":
        return 1
    return count_channels(config.room.microphones, most_speakers)


def check_channels(request: RunRequest, count: int) -> None:
    """Refuse a format that cannot hold the microphones.

    Raises:
        ConfigurationError: If a session may have more channels than FLAC holds.
    """
    channels = _most_channels(request.config, _most_speakers(request, count))
    if request.output.format == "flac" and channels > MOST_FLAC_CHANNELS:
        raise ConfigurationError(
            f"room.microphones {request.config.room.microphones!r} has {channels} channels, but "
            f"FLAC holds at most {MOST_FLAC_CHANNELS}: use --format wav"
        )
