"""What a converter is, and what all of them share: the list of faults, and one file a session."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Literal, Protocol

from talkover.manifests.convert.conversation import Conversation, Recording, path_text
from talkover.manifests.convert.losses import Loss
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.markers import atomic_path

AudioNeed = Literal["none", "optional", "path", "form"]
"""Whether a written format names the recording, can do without, and needs its rate and length."""


@dataclass(kw_only=True)
class Faults:
    """What could not be read: an error at the first, or a list where that was asked for."""

    skip: bool = False
    """Pass over what is broken and go on."""
    found: list[ManifestError] = field(default_factory=list)

    def take(self, error: ManifestError) -> None:
        """Note a fault.

        Raises:
            ManifestError: This one, if faults are not to be passed over.
        """
        if not self.skip:
            raise error from None
        self.found.append(error)


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How paths are written, and what a session of ours is told besides."""

    folder: Path
    """The folder that paths are relative to: that of the written file."""
    absolute_paths: bool = False
    licence: str | None = None
    """SPDX id of the audio and the labels, for sessions that come without one."""
    source_format: str = "unknown"
    """What the conversations were read from, for the provenance of sessions."""

    def audio_path(self, recording: Recording | None, session: str) -> str:
        """The path of a recording as the written file names it.

        Raises:
            ManifestError: If there is no recording.
        """
        path = required(recording, session).path
        if self.absolute_paths:
            return path_text(path)
        from os.path import relpath

        return Path(relpath(path, self.folder.absolute())).as_posix()


def required(recording: Recording | None, session: str) -> Recording:
    """The recording of a session, for a format that cannot do without.

    Raises:
        ManifestError: If there is none.
    """
    if recording is None:
        raise ManifestError(
            f"session {session!r} names no recording, and this format needs one: name the folder "
            "of the recordings with --audio",
        )
    return recording


class Converter(Protocol):
    """Reads and writes conversations in one format.

    The law of each: ``read(write(x)) == x`` for every ``x == without(x, losses)``.
    """

    @property
    def name(self) -> str:
        """How the format is called in ``--from`` and ``--to``."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Ends of file names that mean this format, in lower case, such as ``.rttm``."""

    @property
    def is_folder(self) -> bool:
        """Whether it writes a folder, not a file."""

    @property
    def audio(self) -> AudioNeed:
        """What it needs of the recording."""

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What it cannot hold, in the order in which it is taken out."""

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """The conversations of a file or folder, in its order.

        Raises:
            ManifestError: With file, line and field, at the first fault that is not passed over.
        """

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """Write conversations out of which the losses are taken already."""


def session_files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The file itself, or all files of a folder with one of the suffixes, by name.

    Raises:
        ManifestError: If there is none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.name.lower().endswith(suffixes) and p.is_file())
    if not found:
        raise ManifestError(f"folder holds no file that ends in {' or '.join(suffixes)}", path=path)
    return found


def session_name(path: Path, suffixes: tuple[str, ...]) -> str:
    """The session that a file is of: its name without the suffix.

    >>> session_name(Path("a/b.c.srt"), (".srt",))
    'b.c'
    """
    ends = [s for s in suffixes if path.name.lower().endswith(s)]
    return path.name[: -len(ends[0])] if ends else path.stem


def write_session_files(
    path: Path,
    suffix: str,
    conversations: Iterable[Conversation],
    text_of: Callable[[Conversation], str],
) -> None:
    """Write one file a session: into a folder, or the only one as the file itself.

    Raises:
        ManifestError: If an id cannot be the name of a file.
        ConfigurationError: If there are several sessions for one file.
    """
    single = path.name.lower().endswith(suffix.lower())
    if single:
        conversations = list(islice(conversations, 2))
        if len(conversations) > 1:
            raise ConfigurationError(
                f"{path} is one file, and this format holds one session a file: name a folder"
            )
    for conversation in conversations:
        target = path if single else path / f"{file_name(conversation.id)}{suffix}"
        with text_file(target) as file:
            file.write(text_of(conversation))


def file_name(session: str) -> str:
    """An id as the name of a file.

    Raises:
        ManifestError: If it cannot be one.
    """
    if not session or session.startswith(".") or any(c in session for c in "/\\\0\n"):
        raise ManifestError(f"the id {session!r} cannot be the name of a file: rename the session")
    return session


@contextmanager
def text_file(path: Path) -> Iterator[IO[str]]:
    r"""A UTF-8 text file with ``\n``, which appears whole or not at all; ``.gz`` is compressed.

    Compressed bytes hold neither name nor time, so that they do not differ between writes.
    """
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(path))
        if not path.name.endswith(".gz"):
            yield stack.enter_context(temporary.open("w", encoding="utf-8", newline="\n"))
            return
        plain = stack.enter_context(temporary.open("wb"))
        packed = stack.enter_context(gzip.GzipFile("", "wb", fileobj=plain, mtime=0))
        yield stack.enter_context(io.TextIOWrapper(packed, encoding="utf-8", newline="\n"))
