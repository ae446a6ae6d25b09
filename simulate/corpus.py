"""Single-speaker corpora in: utterances from any reader, checked, with the bad ones set aside.

A reader yields, in a fixed order, an `Utterance` for each thing somebody said and a `Rejection` for
each row that cannot be one; it opens no audio. A row that is wrong never ends a run. What is wrong
with the corpus as a whole (no such folder, a header without a column) is a `ManifestError`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal, Protocol, Self, cast

from pydantic import TypeAdapter, ValidationError

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.schema import SafeId, WordSource

ENTRY_POINTS = "talkover.corpus_readers"
"""Group under which other packages offer readers."""
EMBEDDED = "embedded"
"""Name of the built-in corpus; a folder of this name is reached as ``./embedded``."""

ID_RULE = "ids hold ASCII letters, digits, '-', '_' and '.', and do not start with '.'"
UNSAFE_ID = f"unsafe id: {ID_RULE}"
DUPLICATE_ID = "duplicate id: an earlier utterance has it"

Channel = int | Literal["mean"]
"""A channel of a file counted from 0, or the mean of all its channels."""
TimedWord = tuple[str, float, float]
"""Symbol, start and duration in seconds from the start of the utterance."""

_SAFE_ID = TypeAdapter(SafeId)
_LIBRISPEECH_ID = re.compile(r"(?:[A-Za-z]+-)?[0-9]+-([0-9]+)-[0-9]{4}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One person saying one thing: a window of an audio file and what is known of it.

    The window is given in samples of the file (exact) or in seconds; samples win where both are
    given, and an open end means all that follows.
    """

    utterance_id: str
    speaker: str
    """Across all corpora of a run: two people never share an id."""
    path: Path
    """Where the audio is here."""
    file: str
    """The audio as the corpus names it, for messages that are the same on every machine."""
    corpus: str
    recording_id: str
    channel: Channel = "mean"
    start_sample: int | None = None
    num_samples: int | None = None
    start: float | None = None
    duration: float | None = None
    sampling_rate: int | None = None
    """Rate that the corpus claims for the file; another one found there is a fault."""
    text: str | None = None
    """As written; None where no transcript is known."""
    words: tuple[TimedWord, ...] | None = None
    word_source: WordSource | None = None
    language: str | None = None
    gender: str | None = None
    topic: str | None = None
    """Book, chapter, scene: utterances of one topic follow each other well."""
    licence: str | None = None
    corpus_version: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """Something that cannot be used, and why."""

    corpus: str
    reason: str
    """A phrase that many rejections share, so that they can be counted."""
    utterance_id: str | None = None
    file: str | None = None
    """The audio as the corpus names it."""
    place: str | None = None
    """Where in the corpus, such as ``manifest.csv:17``."""
    field: str | None = None
    value: str | None = None
    """What the field held."""

    def line(self) -> str:
        """One line of JSON with sorted keys, without what is not known."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        text = json.dumps(known, sort_keys=True, ensure_ascii=False)
        return text.encode("utf8", "backslashreplace").decode()  # names of files may be no UTF-8

    @classmethod
    def parse(cls, line: str) -> Self:
        """The inverse of `line`."""
        return cls(**json.loads(line))


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusOptions:
    """What a person says about a corpus as a whole, where the corpus does not say it itself."""

    name: str
    """Of utterances that name no corpus."""
    channel: Channel = "mean"
    """Of files with several channels, where the corpus names none."""
    licence: str | None = None
    word_source: WordSource | None = None
    """Where word times come from; None leaves it to the reader."""


class CorpusReader(Protocol):
    """Reads one kind of corpus."""

    def __init__(self, path: Path, options: CorpusOptions) -> None:
        """Open a corpus.

        Raises:
            ManifestError: If it cannot be one of this kind, naming file and field.
        """
        ...

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        """Yield in the same order every time, and keep no more in memory than must be."""
        ...


READERS: dict[str, EntryPoint] = {
    name: EntryPoint(name, f"talkover.simulate.readers.{name}_reader:{class_name}", ENTRY_POINTS)
    for name, class_name in {
        "csv": "CsvReader",
        "kaldi": "KaldiReader",
        "lhotse": "LhotseReader",
        "tree": "TreeReader",
    }.items()
}
"""The built-in readers by name, in the form in which other packages offer theirs."""


def open_corpora(
    corpora: Sequence[str | Path],
    *,
    channel: Channel = "mean",
    licence: str | None = None,
    jobs: int = 1,
) -> Iterator[Utterance | Rejection]:
    """Utterances of several corpora, one corpus after the other, with ids unique over all.

    Args:
        corpora: As for `open_corpus`.
        channel: As for `open_corpus`.
        licence: As for `open_corpus`.
        jobs: Workers that may build the embedded corpus, if it is asked for and not there yet.

    Returns:
        A lazy iterator; all corpora have been opened when it is returned.

    Raises:
        ConfigurationError: If there is no corpus, or a format is unknown.
        ManifestError: If a corpus cannot be opened.
    """
    if not corpora:
        raise ConfigurationError(f"no corpus given: name a manifest, a folder or {EMBEDDED!r}")
    opened = [
        _open(corpus, None, channel=channel, licence=licence, name=None, jobs=jobs)
        for corpus in corpora
    ]
    return _checked(item for reader in opened for item in reader)


def open_corpus(
    corpus: str | Path,
    *,
    format: str | None = None,
    channel: Channel = "mean",
    licence: str | None = None,
    name: str | None = None,
    jobs: int = 1,
) -> Iterator[Utterance | Rejection]:
    """Utterances of one corpus.

    Args:
        corpus: A manifest, a folder, or ``embedded``; ``FORMAT:PATH`` names the format as well.
        format: A key of `READERS` or the name of an entry point; guessed if None.
        channel: Of files with several channels, where the corpus names none.
        licence: Of utterances that name none, as an SPDX identifier.
        name: Of utterances that name no corpus; the name of the folder or manifest if None.
        jobs: Workers that may build the embedded corpus, if it is asked for and not there yet.

    Raises:
        ConfigurationError: If the format is unknown.
        ManifestError: If the corpus cannot be opened.
    """
    return _checked(_open(corpus, format, channel=channel, licence=licence, name=name, jobs=jobs))


def guess_format(path: Path) -> str:
    """The format of a corpus, from the names of its files alone.

    Raises:
        ManifestError: If nothing is there, or no format has such a file.
    """
    if path.is_dir():
        if (path / "wav.scp").is_file():
            return "kaldi"
        if any(path.glob("*recordings*.jsonl*")) or any(path.glob("*cuts*.jsonl*")):
            return "lhotse"
        named = ("manifest.csv", "manifest.tsv")
        return "csv" if any((path / manifest).is_file() for manifest in named) else "tree"
    if not path.exists():
        hint = get_close_matches(str(path), [EMBEDDED], cutoff=0.8)
        raise ManifestError(
            "no such file or folder" + (f": did you mean {hint[0]!r}?" if hint else ""), path=path
        )
    if path.suffix.lower() in (".csv", ".tsv"):
        return "csv"
    if path.name.lower().endswith((".jsonl", ".jsonl.gz")):
        return "lhotse"
    raise ManifestError(
        "not a corpus: expected a .csv, .tsv, .jsonl or .jsonl.gz manifest or a folder", path=path
    )


def resolve_source(folder: Path, file: str) -> Path:
    """Where a file named in a manifest is.

    Relative names are looked for below the manifest's folder, then below the current one, which is
    how Kaldi and Lhotse mean them.
    """
    beside, here = folder / file, Path(file)
    try:
        if here.is_absolute() or beside.exists() or not here.exists():
            return beside
    except OSError:  # a name that no file can have: reported when it is opened
        return beside
    return here.absolute()


def recording_name(file: str) -> str:
    """A recording's name where a corpus has none: its file, without folders of one machine."""
    path = Path(file)
    return path.name if path.is_absolute() or ".." in path.parts else path.as_posix()


def gender_of(text: str) -> str | None:
    """One spelling of the many of a gender, or None for an empty one.

    >>> gender_of("F"), gender_of("male"), gender_of("")
    ('female', 'male', None)
    """
    plain = text.strip().lower()
    return {"f": "female", "m": "male", "w": "female"}.get(plain, plain) or None


def topic_of_id(utterance_id: str) -> str | None:
    """The chapter in an id of the form that LibriSpeech has: speaker-chapter-utterance.

    >>> topic_of_id("84-121123-0005"), topic_of_id("ana-3")
    ('121123', None)
    """
    found = _LIBRISPEECH_ID.fullmatch(utterance_id)
    return found.group(1) if found else None


def _open(
    corpus: str | Path,
    format: str | None,
    *,
    channel: Channel,
    licence: str | None,
    name: str | None,
    jobs: int,
) -> Iterable[Utterance | Rejection]:
    word_source: WordSource | None = None
    path = Path(corpus)
    if str(corpus) == EMBEDDED and format is None:
        from talkover.simulate.embedded import build_embedded_corpus

        path, word_source = build_embedded_corpus(jobs=jobs), "synthesis"
    elif format is None and not path.exists():
        prefix, colon, rest = str(corpus).partition(":")
        if colon and prefix in _known_formats():
            format, path = prefix, Path(rest)
    if format is None:
        format = guess_format(path)
    elif not path.exists():
        raise ManifestError("no such file or folder", path=path)
    options = CorpusOptions(
        name=name or _name_of(path), channel=channel, licence=licence, word_source=word_source
    )
    return _reader(format)(path, options)


def _known_formats() -> list[str]:
    return sorted({*READERS, *(other.name for other in entry_points(group=ENTRY_POINTS))})


def _reader(format: str) -> type[CorpusReader]:
    found = READERS.get(format)
    if found is None:
        found = next((e for e in entry_points(group=ENTRY_POINTS) if e.name == format), None)
    if found is None:
        known = ", ".join(_known_formats())
        raise ConfigurationError(f"unknown corpus format {format!r}: choose one of {known}")
    return cast(type[CorpusReader], found.load())


def _name_of(path: Path) -> str:
    """A manifest's own name, which moves with it; of a folder its name."""
    name = path.resolve().name
    return name if path.is_dir() else name.split(".")[0]


def _checked(items: Iterable[Utterance | Rejection]) -> Iterator[Utterance | Rejection]:
    """Reject what no reader may let through: unsafe or double ids, impossible times."""
    seen: set[str] = set()
    for item in items:
        if isinstance(item, Utterance):
            fault = _fault(item, seen)
            if fault is not None:
                yield fault
                continue
            seen.add(item.utterance_id)
        yield item


def _fault(utterance: Utterance, seen: set[str]) -> Rejection | None:
    def because(field: str, reason: str, value: object) -> Rejection:
        return Rejection(
            corpus=utterance.corpus,
            utterance_id=utterance.utterance_id,
            file=utterance.file,
            field=field,
            reason=reason,
            value=str(value),
        )

    for field in ("utterance_id", "speaker"):
        try:
            _SAFE_ID.validate_python(getattr(utterance, field))
        except ValidationError:
            return because(field, UNSAFE_ID, getattr(utterance, field))
    for field in ("file", "recording_id", "corpus", "text", "topic", "language", "licence"):
        value = getattr(utterance, field) or ""
        if "\0" in value or (not value.isascii() and not _is_unicode(value)):
            return because(field, "not UTF-8 text", ascii(value))
    if utterance.utterance_id in seen:
        return because("utterance_id", DUPLICATE_ID, utterance.utterance_id)
    for field in ("start_sample", "start"):
        value = getattr(utterance, field)
        if value is not None and not 0 <= value < math.inf:
            return because(field, "must be 0 or more", value)
    for field in ("num_samples", "duration"):
        value = getattr(utterance, field)
        if value is not None and not 0 < value < math.inf:
            return because(field, "must be above 0", value)
    fault = _word_fault(utterance.words or ())
    return because("words", *fault) if fault else None


def _is_unicode(text: str) -> bool:
    """Whether no letter is half of a surrogate pair, which stands for a byte that is no UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _word_fault(words: Sequence[TimedWord]) -> tuple[str, TimedWord] | None:
    """What is wrong with word times, and the first word that it is wrong with."""
    last = 0.0
    for word in words:
        symbol, start, duration = word
        if not symbol.strip() or not _is_unicode(symbol):
            return "a word without a symbol", word
        if not (0 <= start < math.inf and 0 < duration < math.inf):
            return "a word must start at 0 or later and last longer than 0 seconds", word
        if start < last:
            return "words must be in the order of their starts", word
        last = start
    return None
