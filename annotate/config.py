"""What a person may ask of an annotation: backends, channel, turns, segments and flags.

A file (``--config``) gives any part of it as YAML, ``--set a.b=c`` one value; an unknown key is an
error that names it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue, TypeAdapter, ValidationError

from talkover.annotate.segmentation.config import SegmentationConfig
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.settings_files import assign_all, yaml_mapping

OFF = "none"
"""Name of a backend that is not there: its branch is left out."""


@dataclass(frozen=True, kw_only=True)
class BackendChoice:
    """Who listens for one kind of thing."""

    backend: str = OFF
    """A built-in name, one of an entry point, or none."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of its constructor."""

    @property
    def is_off(self) -> bool:
        """Whether the branch is left out."""
        return self.backend == OFF


@dataclass(frozen=True, kw_only=True)
class BackendsConfig:
    """One backend a kind."""

    vad: BackendChoice = field(default_factory=partial(BackendChoice, backend="silero"))
    activity: BackendChoice = field(default_factory=partial(BackendChoice, backend="talkover"))
    diarizer: BackendChoice = field(default_factory=partial(BackendChoice, backend="talkover"))
    embedder: BackendChoice = field(default_factory=partial(BackendChoice, backend="talkover"))
    """Knows enrolled voices again; only used where there are some."""
    music: BackendChoice = field(default_factory=partial(BackendChoice, backend="dsp"))
    events: BackendChoice = field(default_factory=partial(BackendChoice, backend="talkover"))
    quality: BackendChoice = field(default_factory=partial(BackendChoice, backend="talkover"))


@dataclass(frozen=True, kw_only=True)
class TurnsConfig:
    """How what branches say of speech becomes turns; seconds."""

    pause: float = 0.5
    """Speech of one speaker is one turn while its pauses are shorter, unless somebody else speaks
    within the pause."""
    shortest: float = 0.0
    """Shorter turns are left out; 0 keeps all."""
    shortest_overlap: float = 0.05
    """Shorter stretches with two speakers are no overlap event."""

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("pause", "shortest", "shortest_overlap"):
            if not 0 <= getattr(self, name) < 60:
                raise ConfigurationError(
                    f"turns.{name} must be from 0 to 60 s, got {getattr(self, name)}"
                )


@dataclass(frozen=True, kw_only=True)
class FlagsConfig:
    """Figures beyond which a recording gets a flag; None for no such flag."""

    low_snr_db: float | None = 5.0
    clipped_share: float | None = 1e-3
    """Of all samples."""
    narrow_band_hz: float | None = 4000.0
    """Recordings whose sound ends below it were once heard by telephone, or stored by a codec."""
    quiet_lufs: float | None = -45.0
    loud_lufs: float | None = -9.0
    dc_offset: float | None = 0.01
    """Full scale = 1."""
    silence_share: float | None = 0.9
    """Of time."""
    low_dnsmos: float | None = 2.0
    """Overall opinion score, 1 to 5."""


@dataclass(frozen=True, kw_only=True)
class AnnotationConfig:
    """Everything that decides what the labels are; not where and how they are written."""

    channel: int | Literal["mean", "each"] = "mean"
    """What is heard of several channels: one, counted from 0, their mean, or each by itself."""
    backends: BackendsConfig = field(default_factory=BackendsConfig)
    turns: TurnsConfig = field(default_factory=TurnsConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    flags: FlagsConfig = field(default_factory=FlagsConfig)

    def plain(self) -> dict[str, JsonValue]:
        """As JSON values; local paths among the options are there by name only."""
        values: dict[str, JsonValue] = _plain(self)
        return values


_ADAPTER: TypeAdapter[AnnotationConfig] = TypeAdapter(AnnotationConfig)


def load_config(
    path: Path | None = None, assignments: Sequence[str] = (), **overrides: Any
) -> AnnotationConfig:
    """The defaults, changed by a YAML file, ``a.b=c`` texts and single values.

    Args:
        path: YAML file with any part of the configuration.
        assignments: Texts such as ``segmentation.longest=30``; the value is read as YAML. A text
            such as ``backends.vad=energy`` is short for ``backends.vad.backend=energy``.
        overrides: Fields of `AnnotationConfig`; None leaves the value as it is.

    Raises:
        ConfigurationError: If the file is not YAML, or a key or value is wrong; names the key.
    """
    given = {} if path is None else yaml_mapping(path)
    kinds = given.get("backends")
    if isinstance(kinds, dict):  # a name alone is short for its section
        short = {k: v for k, v in kinds.items() if v is None or isinstance(v, str)}
        given["backends"] = {**kinds, **{k: {"backend": v or OFF} for k, v in short.items()}}
    assign_all(given, [_whole_key(text) for text in assignments])
    given |= {name: value for name, value in overrides.items() if value is not None}
    values = _over(AnnotationConfig(), given, "")
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(_keys(first["loc"], values))
        source = "" if path is None else f"{path}: "
        raise ConfigurationError(
            f"{source}{key}: {first['msg']}, got {first['input']!r}"
        ) from error


def _whole_key(text: str) -> str:
    """``backends.vad.backend=energy`` of ``backends.vad=energy``."""
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if len(parts) == 2 and parts[0] == "backends":
        return f"{'.'.join(parts)}.backend{equals}{value}"
    return text


def _keys(place: Sequence[int | str], values: Any) -> Iterator[str]:
    """The part of pydantic's place that is ours: it goes on with the name of a type."""
    for part in place:
        if not isinstance(values, Mapping) or part not in values:
            return
        yield str(part)
        values = values[part]


def _over(defaults: Any, given: Any, place: str) -> Any:
    """Values of a dataclass with those given over them; unknown keys are errors."""
    if isinstance(defaults, BackendChoice):
        given = {"backend": defaults.backend, **given} if isinstance(given, dict) else given
    if not dataclasses.is_dataclass(defaults):
        if isinstance(defaults, Mapping) and isinstance(given, dict):
            return {**defaults, **given}
        return given
    if not isinstance(given, dict):
        raise ConfigurationError(f"{place}: must hold settings, got {given!r}")
    names = {item.name for item in dataclasses.fields(defaults)}
    values = {}
    for key in given:
        if key not in names:
            where = f"{place}.{key}" if place else str(key)
            raise ConfigurationError(f"{where}: no such key; known: {', '.join(sorted(names))}")
    for name in names:
        value = getattr(defaults, name)
        inner = f"{place}.{name}" if place else name
        values[name] = _over(value, given[name], inner) if name in given else _values(value)
    return values


def _values(value: Any) -> Any:
    """A dataclass as nested plain values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _values(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return dict(value) if isinstance(value, Mapping) else value


def _plain(value: Any) -> Any:
    """JSON values; infinities as text, paths as the last part of their name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, str) and "/" in value and Path(value).expanduser().exists():
        return Path(value).name  # what it holds is told by the hash of the weights
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    return value
