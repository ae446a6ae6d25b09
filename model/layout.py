"""The layout: which token or frame stands where in what the language model reads.

One pure function from counts, rates and texts to a plan, used by training, evaluation and decoding;
its configuration is stored in the checkpoint. Nothing here sees audio or weights.

::

    before │ audio vectors with markers between them │ after, prompt │ answer, end
           └─ one stream, or two in one of three orders              └─ the only labels

A marker stands before the vector that begins at its time: marker k of an interval stands at vector
``round(k · interval · rate)``. Rounding ``interval · rate`` first would drift (4 % at 12.5 Hz and
1 s: 24 s in ten minutes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from talkover.manifests.errors import ConfigurationError

Fusion = Literal["single", "add", "channel", "time", "interleave", "two_block"]
"""How a speaker stream joins the semantic one: not at all; summed or side by side, vector by
vector; all of one, then all of the other; block by block; two marked blocks."""

Marker = Literal["none", "seconds", "ordinals"]

SPLIT: tuple[Fusion, ...] = ("time", "interleave", "two_block")
"""Orders in which both streams are read."""

MERGED: tuple[Fusion, ...] = ("add", "channel")
"""Orders in which two streams become one, so their rates must be equal."""

IGNORED = -100
"""Label of what is not learned: torch's default."""


class Kind(IntEnum):
    """What stands at a position."""

    PAD = 0
    TEXT = 1
    MARKER = 2
    SEMANTIC = 3
    SPEAKER = 4
    REGISTRATION = 5
    ANSWER = 6


@dataclass(frozen=True, kw_only=True)
class LayoutConfig:
    """Order, markers and the fixed texts around the audio."""

    fusion: Fusion = "single"
    marker: Marker = "seconds"
    """``seconds``: elapsed time; ``ordinals``: 1, 2, 3, …"""
    marker_interval: float = 1.0
    """Seconds."""
    marker_style: Literal["digits", "atomic"] = "digits"
    """``digits``: as the tokenizer reads the number; ``atomic``: the atom of that time."""
    marker_ends: bool = False
    """Put a marker also before the first vector (number 0) and behind the last."""
    marker_full: bool = False
    """Put a marker also behind the last vector where a whole interval ends right there."""
    marker_from: int = 0
    """Ordinal of the beginning: the marker before the first vector, if there is one."""
    marker_both: bool = True
    """Put the same markers in both streams of ``two_block`` and ``time``; else in the first."""
    block: float = 1.2
    """Seconds of each stream in a block of ``interleave``."""
    block_mark: str = ""
    """Text before each stream's part of a block of ``interleave``."""
    before: str = ""
    """Text ahead of everything, such as the opening of a chat template."""
    stream_open: tuple[str, str] = ("", "")
    """Texts before the semantic and before the speaker stream."""
    stream_close: tuple[str, str] = ("", "")
    """Texts behind them."""
    use_prompt: bool = False
    """Put an instruction behind the audio."""
    prompt: str = ""
    """That instruction; nothing takes the one of the text format."""
    after: str = ""
    """Text between instruction and answer."""
    registration: bool = False
    """Name registered speakers, with one vector behind each name, ahead of the audio."""
    registration_form: tuple[str, str, str] = ("", ": ", "\n")
    """Texts before a registered name, between it and its vector, and behind the vector."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.marker != "none" and not self.marker_interval > 0:
            raise ValueError(f"marker_interval must be above 0 s, got {self.marker_interval}")
        if not self.block > 0:
            raise ValueError(f"block must be above 0 s, got {self.block}")
        if self.marker == "ordinals" and self.marker_style == "atomic":
            raise ValueError("ordinals have no atoms: take marker_style digits")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What the layout needs of a codec."""

    encode: Callable[[str], list[int]]
    """Of texts from data, in which a control token is read as its letters."""
    time_id: Callable[[float], int | None]
    pad_id: int
    end_id: int
    semantic_id: int
    speaker_id: int
    registration_id: int
    encode_fixed: Callable[[str], list[int]] | None = None
    """Of the configuration's own texts, in which control tokens are read as such; None for
    ``encode``."""


@dataclass(frozen=True, kw_only=True)
class Streams:
    """How many vectors there are, and how many a second."""

    semantic: int
    semantic_rate: float
    """Hz."""
    speaker: int = 0
    speaker_rate: float = 0.0
    """Hz; 0 where there is no stream of its own."""
    registered: tuple[str, ...] = ()
    """Names of registered speakers, in the order of their vectors."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Ids, kinds and labels, one per position; a vector's position has a placeholder id."""

    ids: tuple[int, ...]
    kinds: tuple[Kind, ...]

    @property
    def labels(self) -> tuple[int, ...]:
        """The answer and its end; `IGNORED` elsewhere, also on prompt and markers."""
        return tuple(
            index if kind is Kind.ANSWER else IGNORED
            for index, kind in zip(self.ids, self.kinds, strict=True)
        )

    def positions(self, kind: Kind) -> list[int]:
        """Where things of a kind stand."""
        return [place for place, found in enumerate(self.kinds) if found is kind]

    def __len__(self) -> int:
        """Number of positions."""
        return len(self.ids)


def plan_layout(
    streams: Streams,
    config: LayoutConfig,
    vocabulary: Vocabulary,
    *,
    prompt: str = "",
    instruction: str | None = None,
    answer: Sequence[int] | None = None,
) -> Plan:
    """The plan of one recording.

    Args:
        streams: Counts and rates of the vectors; with a fusion in `MERGED` they are one stream.
        config: The order.
        vocabulary: Ids of texts and placeholders.
        prompt: What asks for a transcript, used if the configuration says so.
        instruction: What asks for something else; it takes the place of the prompt and is used
            always, since nothing else tells the tasks apart.
        answer: Ids of the target; the end token is added. None plans what comes before it.

    Raises:
        ConfigurationError: If the streams do not fit the order, or an atom is missing.
    """
    _check(streams, config)
    out = _Builder(vocabulary)
    out.fixed(config.before)
    ahead, between, behind = config.registration_form
    for name in streams.registered:
        out.fixed(ahead)
        out.text(name)
        out.fixed(between)
        out.vectors(Kind.REGISTRATION, 1)
        out.fixed(behind)
    ORDERS[config.fusion](streams, config, out)
    if instruction is not None:
        out.text(instruction)
    elif config.use_prompt:
        out.text(config.prompt or prompt)
    out.fixed(config.after)
    if answer is not None:
        out.add(Kind.ANSWER, [*answer, vocabulary.end_id])
    return Plan(ids=tuple(out.ids), kinds=tuple(out.kinds))


def marker_positions(
    num_vectors: int, rate: float, interval: float, *, is_full: bool = False
) -> list[int]:
    """Vectors before which markers 1, 2, … stand; ``is_full`` lets one stand behind the last.

    >>> marker_positions(50, 12.5, 1.0)
    [12, 25, 38]
    >>> marker_positions(50, 12.5, 2.0, is_full=True)
    [25, 50]
    """
    found: list[int] = []
    end = num_vectors + is_full
    while (position := round((len(found) + 1) * interval * rate)) < end:
        found.append(position)
    return found


class _Builder:
    """A plan under construction."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.ids: list[int] = []
        self.kinds: list[Kind] = []
        self._placeholders = {
            Kind.SEMANTIC: vocabulary.semantic_id,
            Kind.SPEAKER: vocabulary.speaker_id,
            Kind.REGISTRATION: vocabulary.registration_id,
        }

    def add(self, kind: Kind, ids: Sequence[int]) -> None:
        self.ids += ids
        self.kinds += [kind] * len(ids)

    def text(self, text: str, kind: Kind = Kind.TEXT) -> None:
        if text:
            self.add(kind, self.vocabulary.encode(text))

    def fixed(self, text: str) -> None:
        if text:
            encode = self.vocabulary.encode_fixed or self.vocabulary.encode
            self.add(Kind.TEXT, encode(text))

    def vectors(self, kind: Kind, count: int) -> None:
        self.add(kind, [self._placeholders[kind]] * count)

    def marker(self, number: int, config: LayoutConfig) -> None:
        seconds = number * config.marker_interval
        if config.marker_style == "atomic":
            index = self.vocabulary.time_id(seconds)
            if index is None:
                raise ConfigurationError(
                    f"layout.marker_style is atomic, but {seconds:g} s has no atom: raise "
                    "codec.atoms.max_time, shorten the audio, or take marker_style digits"
                )
            self.add(Kind.MARKER, [index])
        else:
            is_time = config.marker == "seconds"
            shown = f"{seconds:g}" if is_time else str(number + config.marker_from)
            self.text(shown, Kind.MARKER)


def _stream(
    kind: Kind, count: int, rate: float, config: LayoutConfig, out: _Builder, marked: bool
) -> None:
    """One whole stream with its markers."""
    place = list(Kind).index(kind) - list(Kind).index(Kind.SEMANTIC)
    out.fixed(config.stream_open[place])
    has_markers = marked and config.marker != "none"
    positions: list[int] = []
    if has_markers:
        positions = marker_positions(
            count, rate, config.marker_interval, is_full=config.marker_full
        )
    if has_markers and config.marker_ends:
        out.marker(0, config)
    done = 0
    for number, position in enumerate(positions, start=1):
        out.vectors(kind, position - done)
        out.marker(number, config)
        done = position
    out.vectors(kind, count - done)
    if has_markers and config.marker_ends:
        out.marker(len(positions) + 1, config)
    out.fixed(config.stream_close[place])


def _one(streams: Streams, config: LayoutConfig, out: _Builder) -> None:
    _stream(Kind.SEMANTIC, streams.semantic, streams.semantic_rate, config, out, True)


def _two(streams: Streams, config: LayoutConfig, out: _Builder) -> None:
    _one(streams, config, out)
    _stream(Kind.SPEAKER, streams.speaker, streams.speaker_rate, config, out, config.marker_both)


def _blocks(streams: Streams, config: LayoutConfig, out: _Builder) -> None:
    """Blocks of equal time, first the semantic vectors, then those of the speakers."""
    out.fixed(config.stream_open[0])
    ends = [
        [*marker_positions(count, rate, config.block), count]
        for count, rate in (
            (streams.semantic, streams.semantic_rate),
            (streams.speaker, streams.speaker_rate),
        )
    ]
    markers = iter(_block_markers(streams, config))
    upcoming = next(markers, None)
    done = [0, 0]
    for block in range(max(map(len, ends))):
        while upcoming is not None and upcoming[1] <= block:
            out.marker(upcoming[0], config)
            upcoming = next(markers, None)
        for place, kind in enumerate((Kind.SEMANTIC, Kind.SPEAKER)):
            end = ends[place][min(block, len(ends[place]) - 1)]
            out.fixed(config.block_mark)
            out.vectors(kind, end - done[place])
            done[place] = end
    out.fixed(config.stream_close[0])


def _block_markers(streams: Streams, config: LayoutConfig) -> list[tuple[int, int]]:
    """(number, block before which it stands) of each marker: the block that begins nearest."""
    if config.marker == "none":
        return []
    duration = streams.semantic / streams.semantic_rate
    count = int(duration / config.marker_interval)
    return [
        (number, round(number * config.marker_interval / config.block))
        for number in range(1, count + 1)
        if number * config.marker_interval < duration
    ]


ORDERS: dict[str, Callable[[Streams, LayoutConfig, _Builder], None]] = {
    "single": _one,
    "add": _one,
    "channel": _one,
    "time": _two,
    "interleave": _blocks,
    "two_block": _two,
}


def _check(streams: Streams, config: LayoutConfig) -> None:
    if config.fusion not in ORDERS:
        raise ConfigurationError(
            f"layout.fusion must be one of {', '.join(ORDERS)}, got {config.fusion!r}"
        )
    if config.fusion in SPLIT and not streams.speaker_rate:
        raise ConfigurationError(f"layout.fusion {config.fusion} needs a speaker encoder")
    if streams.registered and not config.registration:
        raise ConfigurationError("speakers are registered, but layout.registration is off")
