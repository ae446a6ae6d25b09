"""From a recording to its labelled timeline: the stages, and which of them reads which.

::

    decode ─► vad ─► activity ─┬─► diarizer ─► embedder ─┐
               │               ├─► music ────────────────┼─► reconcile ─► segments
               │               ├─► events ───────────────┤
               └───────────────┴─► quality ──────────────┘

Each stage is a pure function of the recording, its own configuration and the stages that it reads,
and is kept by a key of just these (`talkover.annotate.stages`): after a change only what depends on
it is made again. A backend that cannot do a recording degrades its branch of that recording; any
other error is the recording's own, and names the stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import JsonValue

from talkover.annotate.backends.base import (
    Backend,
    BackendError,
    BackendInfo,
    BranchResult,
    Kind,
    make_backend,
)
from talkover.annotate.backends.tables import backends_of
from talkover.annotate.config import AnnotationConfig, BackendChoice
from talkover.annotate.media import Channel, DecodedAudio, Recording, decode, decoded_length
from talkover.annotate.speaker_count import SpeakerCount
from talkover.annotate.stages import StageCache, StageKey
from talkover.manifests.errors import ConfigurationError, MissingExtraError, TalkoverError

READS: dict[Kind, tuple[Kind, ...]] = {
    "vad": (),
    "activity": ("vad",),
    "diarizer": ("vad", "activity"),
    "embedder": ("diarizer", "vad"),
    "music": ("activity",),
    "events": ("activity", "vad"),
    "quality": ("vad", "activity"),
}
"""Stages in the order in which they run, and what each reads of those before it."""

DECODER = BackendInfo(name="talkover-decode", version="1", licence="Apache-2.0")
"""How a recording becomes what the branches hear; its version changes with `media.decode`."""


class StageError(TalkoverError):
    """A recording that a stage could not do, though nothing was wrong with the recording.

    Args:
        stage: Name of the stage.
        reason: What was raised.
    """

    def __init__(self, stage: str, reason: str) -> None:
        """Build the one-line message ``stage: reason``."""
        self.stage, self.reason = stage, reason
        super().__init__(f"stage {stage}: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        """Keep both arguments when a worker process sends the error home."""
        return StageError, (self.stage, self.reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What all branches say of one channel of a recording."""

    channel: Channel
    num_samples: int
    """At `talkover.annotate.media.RATE`."""
    results: Mapping[Kind, BranchResult]
    warnings: tuple[str, ...] = ()
    """Of branches that could not be done, by kind."""
    degraded: tuple[Kind, ...] = ()


class Branches:
    """The backends of a configuration, loaded at most once.

    Args:
        config: Which backends, with what options.
        voices: Folder of enrolled voices for the embedder; None for no enrolment.
        voices_sha256: Of what is in it.
    """

    def __init__(
        self,
        config: AnnotationConfig,
        voices: Path | None = None,
        voices_sha256: str | None = None,
    ) -> None:
        """Make the backends; nothing heavy is imported yet."""
        self._configurations: dict[Kind, dict[str, JsonValue]] = {}
        self._backends: dict[Kind, Backend] = {}
        self._loaded: set[Kind] = set()
        self._infos: dict[Kind, BackendInfo] = {}
        plain = cast(dict[str, Any], config.plain()["backends"])
        for kind in READS:
            choice: BackendChoice = getattr(config.backends, kind)
            if choice.is_off or (kind == "embedder" and voices is None):
                continue
            options = dict(choice.options)
            configuration = {"options": plain[kind]["options"]}
            if kind == "embedder":
                options["voices"] = voices
                configuration["voices_sha256"] = voices_sha256
            self._backends[kind] = make_backend(kind, choice.backend, backends_of(kind), options)
            self._configurations[kind] = configuration

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds that somebody listens for, in the order of `READS`."""
        return tuple(self._backends)

    def check(self) -> None:
        """Refuse a configuration whose backends cannot be loaded here, before any work is done.

        Raises:
            ConfigurationError: If one cannot; says what is missing.
        """
        for kind, backend in self._backends.items():
            ok, reason = backend.available()
            if not ok:
                name = type(backend).__name__
                raise ConfigurationError(
                    f"backends.{kind}: {name} cannot be used: {reason}; choose another one or "
                    f"leave the branch out with --set backends.{kind}=none"
                )

    def info(self, kind: Kind) -> BackendInfo:
        """Who speaks for a kind; asked once, since it may hash weights."""
        if kind not in self._infos:
            self._infos[kind] = self._backends[kind].info()
        return self._infos[kind]

    def configuration(self, kind: Kind, speakers: SpeakerCount) -> dict[str, JsonValue]:
        """What decides a stage's result besides its backend and what it reads."""
        found = dict(self._configurations[kind])
        if kind == "diarizer":
            found["speakers"] = list(speakers.limits)
        return found

    def run(
        self,
        kind: Kind,
        audio: DecodedAudio,
        upstream: Mapping[Kind, BranchResult],
        speakers: SpeakerCount,
    ) -> BranchResult:
        """Listen for one kind.

        Raises:
            BackendError: If the backend cannot do this recording.
            StageError: If it fails in any other way.
        """
        backend: Any = self._backends[kind]
        asked = {"speakers": speakers} if kind == "diarizer" else {}
        try:
            if kind not in self._loaded:
                backend.load()
                self._loaded.add(kind)
            result: BranchResult = backend.run(audio, upstream, **asked)
            return result
        except (BackendError, ConfigurationError, MissingExtraError):
            raise
        except Exception as error:  # a fault of one plug-in on one file must not end the run
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise StageError(kind, reason) from error


class Pipeline:
    """Runs the stages over recordings.

    Args:
        config: What is asked.
        cache: Keeps what stages give.
        branches: The loaded backends.
    """

    def __init__(self, config: AnnotationConfig, cache: StageCache, branches: Branches) -> None:
        """Take the parts as they are."""
        self._config = config
        self._cache = cache
        self._branches = branches

    def hear(
        self, recording: Recording, scratch: Path, speakers: SpeakerCount | None = None
    ) -> tuple[Heard, ...]:
        """What is heard in a recording: once, or once a channel where each is heard by itself.

        Args:
            recording: An opened file.
            scratch: Folder of its own for decoded audio, which is gone afterwards.
            speakers: How many people speak (of each channel where each is heard by itself).

        Raises:
            AudioError: If the recording cannot be decoded or holds values that are not finite.
            StageError: If a backend fails otherwise than it may.
        """
        channels: list[Channel] = [cast(Channel, self._config.channel)]
        if self._config.channel == "each":
            channels = list(range(recording.channels))
        count = speakers or SpeakerCount()
        return tuple(
            self._channel(_LazyAudio(recording, channel, scratch), count) for channel in channels
        )

    def _channel(self, lazy: _LazyAudio, speakers: SpeakerCount) -> Heard:
        results: dict[Kind, BranchResult] = {}
        keys: dict[Kind, str] = {}
        warnings: list[str] = []
        degraded: list[Kind] = []
        try:
            self._cache.get(lazy.key(), lazy.check)
            for kind in self._branches.kinds:
                reads = [name for name in READS[kind] if name in results]
                key = StageKey(
                    stage=kind,
                    backend=self._branches.info(kind),
                    configuration=self._branches.configuration(kind, speakers),
                    audio=lazy.hash,
                    upstream=tuple(keys[name] for name in reads),
                )
                upstream = {name: results[name] for name in reads}
                try:
                    results[kind] = self._cache.get(
                        key,
                        lambda kind=kind, upstream=upstream: self._branches.run(  # type: ignore[misc]
                            kind, lazy.audio(), upstream, speakers
                        ),
                    )
                except BackendError as error:
                    warnings.append(f"{kind}: {error}")
                    degraded.append(kind)
                    continue
                keys[kind] = key.text()
                warnings += [f"{kind}: {text}" for text in results[kind].warnings]
        finally:
            lazy.close()
        return Heard(
            channel=lazy.channel,
            num_samples=lazy.num_samples,
            results=results,
            warnings=tuple(warnings),
            degraded=tuple(degraded),
        )


class _LazyAudio:
    """The decoded samples of one channel, made when a stage first needs them."""

    def __init__(self, recording: Recording, channel: Channel, folder: Path) -> None:
        self._recording = recording
        self.channel = channel
        self._path = folder / f"{channel}.pcm"
        self._audio: DecodedAudio | None = None
        self.num_samples = decoded_length(recording)

    @property
    def hash(self) -> str:
        return f"{self._recording.sha256}/{self.channel}"

    def key(self) -> StageKey:
        return StageKey(stage="decode", backend=DECODER, configuration={}, audio=self.hash)

    def check(self) -> BranchResult:
        """The stage that only says that the recording can be decoded, and how long it is."""
        return BranchResult(backend=DECODER, figures={"num_samples": self.audio().num_samples})

    def audio(self) -> DecodedAudio:
        if self._audio is None:
            self._audio = decode(self._recording, self._path, channel=self.channel)
        return self._audio

    def close(self) -> None:
        if self._audio is not None:
            self._path.unlink(missing_ok=True)
