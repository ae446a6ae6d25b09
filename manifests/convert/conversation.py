"""A conversation as converters hand it on: who said what, when, and the recording, if it is known.

A `talkover.manifests.schema.Session` always has audio; a label file often has none. So formats meet
here, and a session that came in whole is carried along (`Conversation.session`) for those formats
that can hold all of it. Times are in seconds of the session's clock, rounded to `TIME_DIGITS`;
utterances stand in one order whatever the file had, so that equal conversations compare equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from talkover.manifests.schema import PAUSE_JOIN, TIME_DIGITS, Session, Supervision, TimeSpan
from talkover.manifests.serialize.from_session import join_texts

Span = tuple[float, float]
"""Start and end in seconds."""

_DUST = 1e-6  # seconds; what float arithmetic adds to a gap, far below a sample


@dataclass(frozen=True, kw_only=True, slots=True)
class SpokenWord:
    """A word with its time, in seconds."""

    symbol: str
    start: float
    end: float
    score: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """What one speaker says in one go, in seconds."""

    speaker: str
    """Empty where nothing says who."""
    start: float
    end: float
    text: str | None = None
    """None where nothing is known, empty where nothing was said."""
    words: tuple[SpokenWord, ...] | None = None
    """None where word times are not known; never empty."""
    regions: tuple[Span, ...] | None = None
    """Where the speaker is heard, where that is not what `speech` makes of words and times."""
    id: str | None = None
    language: str | None = None
    gender: str | None = None
    turn: str | None = None
    """What utterances of one turn share, where one was split at its pauses."""

    @property
    def speech(self) -> tuple[Span, ...]:
        """Where the speaker is heard: regions, else runs of words, else all of it."""
        return self.regions or _speech(self.start, self.end, self.words)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """The audio of a conversation: a file, a part of one, or a mix that has yet to be made."""

    path: Path
    """Absolute; of a mix, the first of its files."""
    sampling_rate: int | None = None
    """None for rate, samples and channels where the file was not opened yet."""
    num_samples: int | None = None
    num_channels: int | None = None
    seconds: float | None = None
    """Length of the file where a manifest says that and no more."""
    start_sample: int = 0
    """First sample of the file that belongs to the conversation."""
    channels: tuple[int, ...] | None = None
    """Channels of the file that belong to it; None for all."""
    mix: str | None = None
    """A Lhotse cut as JSON, its paths absolute, where the audio is a mix of several."""
    is_whole: bool = True
    """Whether the file as it is *is* the audio."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """One session in any format."""

    id: str
    utterances: tuple[Utterance, ...] = ()
    recording: Recording | None = None
    uem: tuple[Span, ...] | None = None
    """The stretches that are labelled; None where nothing says so."""
    session: Session | None = None
    """All of it, where it was read from a manifest of ours."""

    @property
    def duration(self) -> float:
        """Seconds of the recording, or up to the last label where it is not known."""
        recording = self.recording
        if recording is not None and recording.num_samples and recording.sampling_rate:
            return round(recording.num_samples / recording.sampling_rate, TIME_DIGITS)
        if recording is not None and recording.seconds is not None:
            return recording.seconds
        ends = [u.end for u in self.utterances] + [end for _, end in self.uem or ()]
        return max(ends, default=0.0)


def make_conversation(
    id: str,
    utterances: Iterable[Utterance] = (),
    *,
    recording: Recording | None = None,
    uem: Iterable[Span] | None = None,
    session: Session | None = None,
) -> Conversation:
    """A conversation in the one form: times rounded, utterances and stretches in order."""
    return Conversation(
        id=id,
        utterances=tuple(sorted(map(_tidy, utterances), key=order_of)),
        recording=recording,
        uem=None if uem is None else tuple(sorted((_time(a), _time(b)) for a, b in uem)),
        session=session,
    )


def of_session(session: Session, folder: Path) -> Conversation:
    """A session of the data contract, with its audio looked for below a folder."""
    audio = session.audio
    return make_conversation(
        session.id,
        [_of_supervision(row) for row in session.supervisions],
        recording=Recording(
            path=absolute(folder, audio.path),
            sampling_rate=audio.sampling_rate,
            num_samples=audio.num_samples,
            num_channels=audio.num_channels,
        ),
        uem=[_span(span) for span in session.uem],
        session=session,
    )


def order_of(u: Utterance) -> tuple[object, ...]:
    """The key by which utterances are sorted: start, end, speaker, and the rest for ties."""
    words = tuple((w.start, w.end, w.symbol) for w in u.words or ())
    return (u.start, u.end, u.speaker, u.text or "", u.text is None, u.id or "", words)


def runs_of_words(speaker: str, words: Iterable[SpokenWord]) -> list[Utterance]:
    """The words of one speaker as utterances: one a run with gaps under `PAUSE_JOIN`.

    The text is the words' symbols with a space between, none in scripts written without.
    """
    runs: list[list[SpokenWord]] = []
    end = 0.0
    for word in sorted(words, key=lambda w: (w.start, w.end, w.symbol)):
        if not runs or word.start - end >= PAUSE_JOIN - _DUST:
            runs.append([])
            end = word.end
        runs[-1].append(word)
        end = max(end, word.end)
    return [utterance_of_words(speaker, run) for run in runs]


def utterance_of_words(speaker: str, words: Sequence[SpokenWord]) -> Utterance:
    """An utterance that says its words and nothing else."""
    return Utterance(
        speaker=speaker,
        start=min(word.start for word in words),
        end=max(word.end for word in words),
        text=join_texts(word.symbol for word in words),
        words=tuple(words),
    )


def absolute(folder: Path, path: str) -> Path:
    """A path of a manifest in `folder`, absolute and without ``..``; links are left as they are."""
    return Path(path_text(folder.absolute() / path))


def path_text(path: Path) -> str:
    """A path without ``.`` and ``..``, with forward slashes."""
    from os.path import normpath

    return Path(normpath(path)).as_posix()


def _tidy(u: Utterance) -> Utterance:
    words = u.words or None
    if words is not None and not all(map(_is_tidy, words)):
        words = tuple(replace(w, start=_time(w.start), end=_time(w.end)) for w in words)
    start, end = _time(u.start), _time(u.end)
    regions = None if u.regions is None else tuple((_time(a), _time(b)) for a, b in u.regions)
    if regions is not None and (not regions or regions == _speech(start, end, words)):
        regions = None
    if (start, end, regions) == (u.start, u.end, u.regions) and words is u.words:
        return u
    return replace(u, start=start, end=end, words=words, regions=regions)


def _is_tidy(word: SpokenWord) -> bool:
    return _time(word.start) == word.start and _time(word.end) == word.end


def _speech(start: float, end: float, words: Sequence[SpokenWord] | None) -> tuple[Span, ...]:
    spans = sorted((w.start, w.end) for w in words or () if w.end > w.start)
    if not spans:
        return ((start, end),)
    joined = [spans[0]]
    for first, last in spans[1:]:
        if first - joined[-1][1] < PAUSE_JOIN - _DUST:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


def _of_supervision(row: Supervision) -> Utterance:
    words = tuple(
        SpokenWord(symbol=w.symbol, start=w.start, end=w.end, score=w.score)
        for w in row.words or ()
    )
    return Utterance(
        id=row.id,
        speaker=row.speaker,
        start=row.start,
        end=row.end,
        text=row.text,
        words=words or None,
        regions=tuple(_span(region) for region in row.regions),
        language=row.language,
        gender=row.gender,
    )


def _span(span: TimeSpan) -> Span:
    return span.start, span.end


def _time(seconds: float) -> float:
    return round(float(seconds), TIME_DIGITS)
