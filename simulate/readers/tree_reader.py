"""Utterances in a tree of folders: ``SPEAKER/…/UTTERANCE.{wav,flac,ogg,mp3}``.

The first folder below the root is the speaker. The text is in ``UTTERANCE.txt`` beside the audio,
or, as in LibriSpeech, in a ``*.trans.txt`` of the same folder with lines ``UTTERANCE text``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from talkover.manifests.errors import ManifestError
from talkover.simulate.corpus import CorpusOptions, Rejection, Utterance

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
"""Files with other suffixes are not looked at."""
TRANSCRIPTS = ".trans.txt"


class TreeReader:
    """Reads a tree of audio files; see `talkover.simulate.corpus.CorpusReader`."""

    def __init__(self, path: Path, options: CorpusOptions) -> None:
        """Remember the root of the tree.

        Raises:
            ManifestError: If it is not a folder, or no audio file is below it.
        """
        if not path.is_dir():
            raise ManifestError("not a folder", path=path)
        self._root, self._options = path, options
        if next(_audio_files(path), None) is None:
            raise ManifestError(
                f"no audio below it: expected SPEAKER/.../UTTERANCE with {', '.join(SUFFIXES)}",
                path=path,
            )

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        """Yield folder by folder, sorted by name."""
        folder: Path | None = None
        transcripts: dict[str, str] = {}
        for path in _audio_files(self._root):
            if path.parent != folder:
                folder = path.parent
                transcripts = _transcripts(folder)
            yield self._utterance(path, transcripts)

    def _utterance(self, path: Path, transcripts: dict[str, str]) -> Utterance | Rejection:
        file = path.relative_to(self._root)
        place = file.as_posix()
        if len(file.parts) < 2:
            reason = "not in a speaker's folder: expected SPEAKER/.../UTTERANCE"
            return Rejection(corpus=self._options.name, file=place, field="speaker", reason=reason)
        speaker, *between = file.parts[:-1]
        try:
            text = _text(path, transcripts)
        except (OSError, UnicodeDecodeError) as error:
            return Rejection(
                corpus=self._options.name,
                utterance_id=utterance_name(file),
                file=place,
                field="text",
                reason="the text beside the audio cannot be read as UTF-8",
                value=type(error).__name__,
            )
        return Utterance(
            utterance_id=utterance_name(file),
            speaker=speaker,
            path=path,
            file=place,
            corpus=self._options.name,
            recording_id=place,
            channel=self._options.channel,
            text=text,
            topic="/".join(between) or None,
            licence=self._options.licence,
        )


def utterance_name(file: Path) -> str:
    """The id of an utterance from its path below the root.

    The name of the file if it begins with the speaker's, as most corpora have it; otherwise all
    folders and the name.

    >>> utterance_name(Path("19/198/19-198-0001.flac")), utterance_name(Path("ana/monday/01.wav"))
    ('19-198-0001', 'ana-monday-01')
    """
    speaker, rest = file.parts[0], file.stem.removeprefix(file.parts[0])
    if rest != file.stem and (not rest or not rest[0].isalnum()):
        return file.stem
    return "-".join((speaker, *file.parts[1:-1], file.stem))


def _audio_files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Audio files below a folder in the order of their names; links are followed, loops are not."""
    real = folder.resolve()
    if real in above:
        return
    for path in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _audio_files(path, (*above, real))
        elif path.suffix.lower() in SUFFIXES:
            yield path


def _transcripts(folder: Path) -> dict[str, str]:
    """Texts by file name without suffix, from all lists of a folder."""
    texts: dict[str, str] = {}
    for path in sorted(folder.glob(f"*{TRANSCRIPTS}")):
        # A letter that is not UTF-8 shows as a replacement and spoils one text, not the folder.
        for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
            name, _, text = line.strip().partition(" ")
            texts[name] = text
    return texts


def _text(path: Path, transcripts: dict[str, str]) -> str | None:
    beside = path.with_suffix(".txt")
    written = beside.read_text(encoding="utf-8-sig") if beside.is_file() else ""
    return " ".join((written or transcripts.get(path.stem, "")).split()) or None
