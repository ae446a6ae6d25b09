"""What each side says of a session, laid out for scoring: segments, tokens, activity.

Order of text: by start, then speaker, then end, then text. Within one speaker that is the order in
which texts are joined for cpWER; across speakers it is the stated rule of the speaker-free WER.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import JsonValue

from talkover.manifests.schema import SoundEvent
from talkover.manifests.score.normalize import Normalizer, Unit
from talkover.manifests.score.spans import Spans, join_spans

Which = Literal["reference", "hypothesis"]


class TimedWord(Protocol):
    """A word with its time on the session's clock, in seconds."""

    @property
    def symbol(self) -> str: ...  # noqa: D102
    @property
    def start(self) -> float: ...  # noqa: D102
    @property
    def end(self) -> float: ...  # noqa: D102


class LabelledSegment(Protocol):
    """What scoring reads of a segment; `talkover.manifests.labels.Segment` is one."""

    @property
    def speaker(self) -> str: ...  # noqa: D102
    @property
    def start(self) -> float: ...  # noqa: D102
    @property
    def end(self) -> float: ...  # noqa: D102
    @property
    def text(self) -> str | None: ...  # noqa: D102
    @property
    def words(self) -> Sequence[TimedWord] | None: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenSegment:
    """One segment as tokens; ``times`` where each token has a known time."""

    speaker: str
    start: float
    end: float
    tokens: tuple[str, ...]
    times: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one side says of one session, and what is known of the session itself."""

    segments: Sequence[LabelledSegment]
    """In the order of text."""
    activity: Mapping[str, Spans]
    """When each speaker is active, touching stretches joined."""
    failed: bool = False
    """No usable output: absent, or marked as unparsable."""
    duration: float | None = None
    """Length of the recording in seconds, where it is known."""
    uem: Spans | None = None
    """What may be scored, where it is known."""
    registered: frozenset[str] | None = None
    events: Sequence[SoundEvent] | None = None
    cuts: Sequence[float] | None = None
    """Times in seconds at which a segmentation cuts the recording, where it is known."""
    fields: Mapping[str, JsonValue] = field(default_factory=dict)
    """Fields of the manifest, for strata."""
    speaker_fields: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    """Fields per speaker, for strata of speakers."""


def make_side(
    segments: Sequence[LabelledSegment],
    *,
    regions: Sequence[LabelledSegment] | None = None,
    failed: bool = False,
    duration: float | None = None,
    uem: Sequence[tuple[float, float]] | None = None,
    registered: frozenset[str] | None = None,
    events: Sequence[SoundEvent] | None = None,
    cuts: Sequence[float] | None = None,
    fields: Mapping[str, JsonValue] | None = None,
    speaker_fields: Mapping[str, Mapping[str, JsonValue]] | None = None,
) -> Side:
    """Order the segments and join the activity of each speaker.

    Args:
        segments: What was said; their times are the activity too, unless ``regions`` are given.
        regions: When speakers are heard.
        failed: The output could not be used.
        duration: Seconds.
        uem: Stretches that may be scored, seconds.
        registered: Names that were registered for the session.
        events: Sounds and music.
        cuts: Times of cuts, seconds.
        fields: Fields of the manifest.
        speaker_fields: Fields per speaker.

    Raises:
        ValueError: If a segment ends before it starts.
    """
    for segment in segments:
        if not segment.start <= segment.end:
            raise ValueError(
                f"a segment must not end before it starts, but {segment.speaker} starts at "
                f"{segment.start} s and ends at {segment.end} s"
            )
    ordered = sorted(segments, key=lambda s: (s.start, s.speaker, s.end, s.text or ""))
    spans: dict[str, list[tuple[float, float]]] = {}
    for region in segments if regions is None else regions:
        spans.setdefault(region.speaker, []).append((region.start, region.end))
    return Side(
        segments=ordered,
        activity={speaker: join_spans(spans[speaker]) for speaker in sorted(spans)},
        failed=failed,
        duration=duration,
        uem=None if uem is None else join_spans(uem),
        registered=registered,
        events=events,
        cuts=cuts,
        fields=fields or {},
        speaker_fields=speaker_fields or {},
    )


class Pair:
    """Reference and hypothesis of one session; what several metrics need is worked out once."""

    def __init__(
        self, session: str, reference: Side, hypothesis: Side, normalizer: Normalizer
    ) -> None:
        """Bind the two sides to a normaliser."""
        self.session, self.normalizer = session, normalizer
        self.reference, self.hypothesis = reference, hypothesis
        self._tokens: dict[tuple[Which, Unit], tuple[TokenSegment, ...]] = {}

    def side(self, which: Which) -> Side:
        """One of the two sides."""
        return self.reference if which == "reference" else self.hypothesis

    def tokens(self, which: Which, unit: Unit) -> tuple[TokenSegment, ...]:
        """The segments of a side as tokens, in the order of text, empty ones left out."""
        key = (which, unit)
        if key not in self._tokens:
            made = (_tokenize(s, self.normalizer, unit) for s in self.side(which).segments)
            self._tokens[key] = tuple(segment for segment in made if segment.tokens)
        return self._tokens[key]

    def streams(self, which: Which, unit: Unit) -> dict[str, list[TokenSegment]]:
        """Token segments per speaker, speakers by name; speakers without tokens are left out."""
        streams: dict[str, list[TokenSegment]] = {}
        for segment in self.tokens(which, unit):
            streams.setdefault(segment.speaker, []).append(segment)
        return dict(sorted(streams.items()))

    def release(self) -> None:
        """Forget the tokens, so that a large corpus needs memory for one session of them."""
        self._tokens.clear()

    @property
    def end(self) -> float:
        """End of the session in seconds: its length, or the last end on either side."""
        ends = [
            span[-1, 1]
            for s in (self.reference, self.hypothesis)
            for span in s.activity.values()
            if len(span)
        ]
        return float(max([self.reference.duration or 0.0, *ends]))

    @property
    def scored(self) -> Spans:
        """What is scored in time: the UEM of the reference, or the whole session."""
        if self.reference.uem is not None:
            return self.reference.uem
        return join_spans([(min(0.0, self._first_start()), self.end)])

    def _first_start(self) -> float:
        starts = [
            span[0, 0]
            for s in (self.reference, self.hypothesis)
            for span in s.activity.values()
            if len(span)
        ]
        return float(min(starts, default=0.0))


def joined(segments: Sequence[TokenSegment]) -> list[str]:
    """All tokens of the segments, one after the other."""
    return [token for segment in segments for token in segment.tokens]


def _tokenize(segment: LabelledSegment, normalizer: Normalizer, unit: Unit) -> TokenSegment:
    words = segment.words or ()
    text = segment.text
    if text is None:
        text = " ".join(word.symbol for word in words)
    tokens = normalizer.tokens(text, unit)
    times = None
    if words:
        timed = [(normalizer.tokens(word.symbol, unit), word) for word in words]
        if tuple(token for part, _ in timed for token in part) == tokens:
            times = tuple(
                time
                for part, word in timed
                for time in proportional_times(part, float(word.start), float(word.end))
            )
    return TokenSegment(
        speaker=segment.speaker,
        start=float(segment.start),
        end=float(segment.end),
        tokens=tokens,
        times=times,
    )


def proportional_times(
    tokens: Sequence[str], start: float, end: float
) -> list[tuple[float, float]]:
    """A stretch shared out among its tokens by their number of characters.

    >>> proportional_times(["abc", "b"], 0.0, 4.0)
    [(0.0, 3.0), (3.0, 4.0)]
    """
    total = sum(map(len, tokens))
    times, done = [], 0
    scale = (end - start) / total if total else 0.0
    for token in tokens:
        times.append((start + scale * done, start + scale * (done + len(token))))
        done += len(token)
    return times
