"""What a person may ask of a simulation: one section per kind of decision.

Defaults make ordinary meetings. A file (`--config`) gives any part of it as YAML, `--set a.b=c`
one value; an unknown key is an error that names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from talkover.manifests.errors import ConfigurationError

MAX_SPEAKERS = 8
"""Speakers in one session; the turn-taking presets are fitted on 2 to 8."""

Range = tuple[float, float]
"""Least and most, both included; drawn uniformly."""


class Section(BaseModel):
    """Base of the sections: immutable, no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if (
                isinstance(value, tuple)
                and len(value) == 2
                and all(isinstance(part, (int, float)) for part in value)
                and value[0] > value[1]
            ):
                raise ValueError(f"{name} must be (least, most), got {value}")
        return self


class TurnsConfig(Section):
    """Who speaks when."""

    model: str = "ami"
    """Preset (`talkover turns show` lists them) or path of a fitted model."""
    overlap: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of speech time with two or more speakers; None: drawn from the model per session."""
    silence: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of session time without speech; None: drawn from the model per session."""
    max_concurrent: Annotated[int, Field(ge=1, le=MAX_SPEAKERS)] = 3
    """Most speakers at one time."""


class SessionConfig(Section):
    """How large a session is."""

    speakers: tuple[
        Annotated[int, Field(ge=1, le=MAX_SPEAKERS)], Annotated[int, Field(ge=1, le=MAX_SPEAKERS)]
    ] = (2, 4)
    length: Range | None = (60.0, 180.0)
    """Seconds; None takes the length from the turn-taking model."""
    language_mix: bool = False
    """Let one session hold speakers of several languages."""
    lead_in: Range = (0.2, 1.0)
    """Seconds before the first word."""
    lead_out: Range = (0.4, 1.0)
    """Seconds after the last word."""


class UtterancesConfig(Section):
    """Which utterances are said, and what of them."""

    candidates: Annotated[int, Field(ge=1)] = 8
    """The unit is drawn from this many utterances nearest to the wanted duration."""
    split: bool = True
    """Cut long utterances at word gaps, or without word times at pauses (then without text)."""
    min_word_gap: Annotated[float, Field(ge=0)] = 0.03
    """Seconds between two words at which an utterance may be cut."""
    join_gap: Range | None = (0.05, 0.18)
    """Seconds between short utterances that are said in a row to fill a unit; None never joins.
    Under 0.2 s they stay one inter-pausal unit."""
    margin: Annotated[float, Field(ge=0, le=0.2)] = 0.05
    """Seconds kept around measured speech, where the recording has them."""


class RoomConfig(Section):
    """Where the conversation takes place."""

    kind: Literal["shoebox", "measured", "dry"] = "shoebox"
    t60: Range = (0.2, 0.5)
    """Seconds."""
    width: Range = (3.0, 7.0)
    """Metres; the longer side is drawn from `length`."""
    length: Range = (4.0, 9.0)
    height: Range = (2.5, 3.5)
    microphones: str = "single"
    """A name of `talkover.simulate.rooms.MICROPHONES`, such as single, pair, linear4, circular8."""
    distance: Range = (0.5, 2.5)
    """Metres from a seat to the middle of the microphones."""
    rirs: Path | None = None
    """Folder or manifest.csv of measured responses, for kind ``measured``."""


class NoiseConfig(Section):
    """What is heard beside the speakers."""

    kind: Literal["none", "ambient", "white", "pink", "speech_shaped"] = "speech_shaped"
    snr_db: Range = (10.0, 25.0)
    path: Path | None = None
    """Folder or manifest.csv of clips, for kind ``ambient``."""


class LevelsConfig(Section):
    """How loud it is."""

    speech_dbfs: Range = (-32.0, -22.0)
    """Active-speech level of each speaker's dry signal, dB re full scale (RMS)."""
    jitter_db: Annotated[float, Field(ge=0)] = 1.0
    """Largest deviation of one utterance from its speaker's level."""
    peak_dbfs: Annotated[float, Field(le=0)] = -1.0
    """The mixture is scaled down to this peak if it would exceed it."""


class RegistrationConfig(Section):
    """Clean speech of each speaker from outside the session, for enrolment."""

    length: Range | None = (3.0, 6.0)
    """Seconds of a clip; None writes none. A speaker with too little unused speech gets none."""


class SimulationConfig(Section):
    """Everything that decides what the sessions are; not where and how they are written."""

    sampling_rate: Annotated[int, Field(ge=8000, le=192000)] = 16000
    session: SessionConfig = SessionConfig()
    turns: TurnsConfig = TurnsConfig()
    utterances: UtterancesConfig = UtterancesConfig()
    room: RoomConfig = RoomConfig()
    noise: NoiseConfig = NoiseConfig()
    levels: LevelsConfig = LevelsConfig()
    registration: RegistrationConfig = RegistrationConfig()

    def plain(self) -> dict[str, JsonValue]:
        """As JSON values; paths as they were given."""
        values: dict[str, JsonValue] = self.model_dump(mode="json")
        return values


def load_config(
    path: Path | None = None, assignments: Sequence[str] = (), **overrides: Any
) -> SimulationConfig:
    """The defaults, changed by a YAML file, then by ``a.b=c`` texts, then by dotted overrides.

    Args:
        path: YAML file with any part of the configuration.
        assignments: Texts such as ``room.t60=[0.3,0.6]``; the value is read as YAML.
        overrides: Values by name with ``__`` for the dot, such as ``session__speakers=(2, 4)``;
            None leaves the value as it is.

    Raises:
        ConfigurationError: If the file is not YAML, or a key or value is wrong; names the key.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError(f"{path}: not a readable YAML file: {reason}") from error
        if loaded is not None and not isinstance(loaded, dict):
            raise ConfigurationError(f"{path}: must hold a mapping, got {type(loaded).__name__}")
        values = loaded or {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"--set takes KEY=VALUE, such as room.t60=[0.3,0.6]: {text!r}")
        try:
            _assign(values, key.strip().split("."), yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise ConfigurationError(f"--set {key}: not a value: {value!r}") from error
    for name, value in overrides.items():
        if value is not None:
            _assign(values, name.split("__"), value)
    try:
        return SimulationConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = "no such key" if first["type"] == "extra_forbidden" else first["msg"]
        source = f"{path}: " if path is not None else ""
        raise ConfigurationError(f"{source}{key}: {what}, got {first['input']!r}") from error


def _assign(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigurationError(f"{'.'.join(keys)}: {key} is a value, not a section")
        values = inner
    values[keys[-1]] = value
