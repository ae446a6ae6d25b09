"""What a person may ask of a simulation: one section per kind of decision.

Defaults make ordinary meetings. A file (`--config`) gives any part of it as YAML, `--set a.b=c`
one value; an unknown key is an error that names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.settings_files import assign, assign_all, yaml_mapping
from talkover.simulate.turn_targets import MAX_SPEAKERS

_PRESETS = Path(__file__).parent / "data" / "presets"
CONFIG_PRESETS: dict[str, Path] = {
    name: _PRESETS / f"{name}.yaml" for name in ("asr", "diarization", "moss_td")
}
"""Configurations for a task or a published recipe (docs/turns.md says why they are so)."""

SHARE_ROUNDING = 1e-3
"""Largest deviation of the sum of talk shares from 1: a person writes 0.333."""

Range = tuple[float, float]
"""Least and most, both included; drawn uniformly."""


class Section(BaseModel):
    """Base of the sections: immutable, no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    unordered: ClassVar[frozenset[str]] = frozenset()
    """Fields whose pairs of numbers are no range."""

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if (
                isinstance(value, tuple)
                and name not in type(self).unordered
                and len(value) == 2
                and all(isinstance(part, (int, float)) for part in value)
                and value[0] > value[1]
            ):
                raise ValueError(f"{name} must be (least, most), got {value}")
        return self


class TurnsConfig(Section):
    """Who speaks when."""

    unordered: ClassVar[frozenset[str]] = frozenset({"shares"})

    model: str = "ami"
    """Preset (`talkover turns show` lists them), path of a fitted model, or a plug-in such as
    moss_td."""
    overlap: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of speech time with two or more speakers; None: drawn from the model per session."""
    silence: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of session time without speech; None: drawn from the model per session."""
    max_concurrent: Annotated[int, Field(ge=1, le=MAX_SPEAKERS)] = 3
    """Most speakers at one time."""
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] | None = None
    """Share of all speech of each speaker, summing to 1; sets the number of speakers. Time in
    overlap counts for each. None: drawn from the model per session."""
    dominance: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the most talkative speaker, for any number; the others share the rest evenly."""

    @model_validator(mode="after")
    def _shares_are_whole(self) -> Self:
        if self.shares is not None:
            if self.dominance is not None:
                raise ValueError("give either shares or dominance, not both")
            if not 1 <= len(self.shares) <= MAX_SPEAKERS:
                raise ValueError(f"shares takes 1 to {MAX_SPEAKERS} numbers, got {self.shares}")
            if abs(sum(self.shares) - 1) > SHARE_ROUNDING:
                raise ValueError(f"shares must sum to 1, got {sum(self.shares):g}")
        return self


class SessionConfig(Section):
    """How large a session is."""

    speakers: (
        tuple[
            Annotated[int, Field(ge=1, le=MAX_SPEAKERS)],
            Annotated[int, Field(ge=1, le=MAX_SPEAKERS)],
        ]
        | None
    ) = None
    """Least and most; None takes the number from the turn-taking model."""
    length: Range | None = None
    """Seconds; None takes the length from the turn-taking model."""
    longest: Annotated[float, Field(gt=0)] | None = None
    """Seconds; longer lengths of the model become this. ``--hours`` sets it to a quarter of
    the hours where that is shorter than the model's longest session."""
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
    shorten_pauses: bool = True
    """Shorten pauses inside an utterance to `join_gap`: the turn-taking model decides the pauses.
    Text stays whole; False keeps them as they were recorded."""
    margin: Annotated[float, Field(ge=0, le=0.2)] = 0.05
    """Seconds kept around measured speech, where the recording has them."""


class DialogueConfig(Section):
    """Where a written dialogue comes from: an OpenAI-compatible chat endpoint."""

    base_url: str = "http://localhost:8000/v1"
    """Of the endpoint; ``/chat/completions`` is appended."""
    model: str = "default"
    """Name that the endpoint knows its model by."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; None sends none."""
    topic: str = "plans for the weekend"
    lines: Annotated[int, Field(ge=2, le=400)] = 24
    """Lines that are asked for."""
    sentences: Annotated[int, Field(ge=0, le=200)] = 30
    """Sentences of each speaker that the prompt offers, so that most lines can be matched."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds for one request."""
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """Further requests where an answer fails or cannot be used."""
    parallel: Annotated[int, Field(ge=1, le=64)] = 4
    """Requests at one time."""


class TextConfig(Section):
    """What the speakers talk about."""

    order: str = "random"
    """random, book, script, dialogue, or the name of a plug-in (`talkover.text_order`)."""
    window: Annotated[int, Field(ge=1)] = 8
    """With ``book``: the next utterance is one of this many that follow in the text."""
    script: Path | None = None
    """With ``script``: JSON Lines or plain lines ``speaker: text``."""
    least_similarity: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A line takes an utterance that shares at least this much of its words (Dice)."""
    dialogue: DialogueConfig = DialogueConfig()


PositiveFactor = Annotated[float, Field(gt=0, le=4)]
DEFAULT_T60_OCTAVES = (1.2, 1.1, 1.05, 1.0, 0.95, 0.8, 0.65)
"""Rounded from a handful of published responses of furnished rooms: dull at the bottom, and walls
and air that take the top."""


class RoomConfig(Section):
    """Where the conversation takes place."""

    kind: str = "shoebox"
    """Provider of the responses: shoebox (image sources, then a diffuse tail), images (all image
    sources), pra_ism, pra_rays (pyroomacoustics), measured, dry, or one that is installed."""
    t60: Range = (0.2, 0.5)
    """Seconds, of the whole band (T30)."""
    t60_octaves: tuple[PositiveFactor, ...] = DEFAULT_T60_OCTAVES
    """Relative reverberation time at 125, 250, 500, 1000, 2000, 4000 and 8000 Hz."""
    drr_db: Range | None = None
    """Direct-to-reverberant ratio of each seat at the first channel; None: what the room gives."""
    bank: Annotated[int, Field(ge=1)] | None = None
    """Number of rooms that all sessions share; None draws a new room for every session."""
    width: Range = (3.0, 7.0)
    """Metres; the longer side is drawn from `length`."""
    length: Range = (4.0, 9.0)
    height: Range = (2.5, 3.5)
    microphones: str = "single"
    """Devices joined by +: single, pair, linear4, circular8, … (@metres sets spacing or radius),
    headsets, positions such as 0,0,0;0.1,0,0, or one YAML or JSON file of positions."""
    distance: Range = (0.5, 2.5)
    """Metres from a seat to the middle of the first device."""
    directivity: Literal["omni", "cardioid", "head"] = "head"
    """How the mouths radiate; they face the first device, give or take."""
    moving: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability that a speaker walks about."""
    speed: Range = (0.2, 0.8)
    """Metres a second of those who walk."""
    rirs: Path | None = None
    """Folder or manifest.csv of measured responses, for kind ``measured``."""

    @field_validator("kind")
    @classmethod
    def _provider_is_known(cls, kind: str) -> str:
        from talkover.simulate.providers import provider_names

        if kind not in provider_names():
            raise ValueError(f"must be one of {', '.join(provider_names())}")
        return kind

    @field_validator("microphones")
    @classmethod
    def _positions_are_read(cls, text: str) -> str:
        """A file of positions becomes its positions: what counts is in the plan, not a path."""
        from talkover.simulate.devices import LAYOUT_SUFFIXES, read_layout

        return read_layout(Path(text)) if text.lower().endswith(LAYOUT_SUFFIXES) else text

    @field_validator("t60_octaves")
    @classmethod
    def _every_octave_has_a_factor(cls, factors: tuple[float, ...]) -> tuple[float, ...]:
        if len(factors) != len(DEFAULT_T60_OCTAVES):
            raise ValueError(f"must have one factor for each of 7 octaves, got {len(factors)}")
        return factors


class NoiseLayerConfig(Section):
    """One stationary noise."""

    kind: Literal["none", "ambient", "point", "diffuse", "white", "pink", "speech_shaped"] = (
        "speech_shaped"
    )
    """ambient: a clip, the same in all channels; point: a source in the room; diffuse: an isotropic
    field, coherent between the microphones; the others: independent in each channel."""
    snr_db: Range = (10.0, 25.0)
    spectrum: Literal["white", "pink", "speech_shaped", "clip"] = "speech_shaped"
    """Of kinds point and diffuse; ``clip`` takes a clip of `NoiseConfig.path`, for point alone."""

    @model_validator(mode="after")
    def _a_field_is_synthetic(self) -> Self:
        if self.kind == "diffuse" and self.spectrum == "clip":
            raise ValueError("kind diffuse needs spectrum white, pink or speech_shaped, not clip")
        return self

    @property
    def needs_clips(self) -> bool:
        """Whether the noise is recorded."""
        return self.kind == "ambient" or (self.kind == "point" and self.spectrum == "clip")


class NoiseConfig(NoiseLayerConfig):
    """What is heard beside the speakers all the time."""

    path: Path | None = None
    """Folder or manifest.csv of clips, for kind ``ambient`` and for spectrum ``clip``."""
    also: tuple[NoiseLayerConfig, ...] = ()
    """More noises at the same time, each with a ratio of its own."""

    @property
    def any_clips(self) -> bool:
        """Whether one of the noises is recorded."""
        return any(layer.needs_clips for layer in (self, *self.also))


class SoundsConfig(Section):
    """Labelled sound events on the timeline."""

    path: Path | None = None
    """Folder or manifest.csv of labelled clips; None: no events."""
    per_minute: Range = (1.0, 4.0)
    """Events a minute; drawn for each session, whose number of events is a Poisson draw."""
    labels: tuple[str, ...] = ()
    """Labels that are drawn from, all equally often; empty: all that there are."""
    length: Range = (0.2, 5.0)
    """Seconds of an event: runs of sound under the least are used only where a clip has no other,
    those over a length drawn from this range are cut to it."""
    snr_db: Range = (0.0, 15.0)
    """Speech over the event."""
    snr_by_label: dict[str, Range] = {}
    """Ranges of their own for some labels."""
    where: Literal["anywhere", "pauses"] = "anywhere"
    """Let events sound while somebody speaks, or only where nobody does."""
    placement: Literal["point", "spread"] = "point"
    """One place in the room, or four at once."""

    def __hash__(self) -> int:
        """By content, as all sections."""
        return hash(self.model_dump_json())


class MusicConfig(Section):
    """Music under the conversation."""

    path: Path | None = None
    """Folder or manifest.csv of pieces; None: no music."""
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    """That a session has music."""
    labels: tuple[str, ...] = ()
    """Labels that are drawn from; empty: all that there are."""
    share: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (
        0.3,
        1.0,
    )
    """Of the session that it lasts, in one stretch; shorter pieces are repeated."""
    snr_db: Range = (5.0, 20.0)
    """Speech over music."""
    fade: Annotated[float, Field(ge=0, le=30)] = 1.0
    """Seconds of its fades at both ends."""
    placement: Literal["point", "spread"] = "point"
    """One loudspeaker in the room, or four."""


class ChannelStep(Section):
    """One step of the channel after the mix."""

    effect: str
    """A name of `talkover.simulate.channel.effects.EFFECTS`, such as telephone, g711, opus."""
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    """That a device has it in a session."""
    devices: Literal["all", "first", "others"] = "all"
    together: bool = False
    """Draw once for all devices, not once for each."""
    parameters: dict[str, JsonValue] = {}
    """Value of a parameter, [least, most], or a list of names of which one is drawn."""

    def __hash__(self) -> int:
        """By content, as all sections."""
        return hash(self.model_dump_json())


class ChannelConfig(Section):
    """What happens to the mixture after the microphones, step by step."""

    steps: tuple[ChannelStep, ...] = ()
    responses: Path | None = None
    """Folder or manifest.csv of measured microphones, for `response` of the effect microphone."""


class LevelsConfig(Section):
    """How loud it is."""

    speech_dbfs: Range = (-32.0, -22.0)
    """Active-speech level of each speaker's dry signal, dB re full scale (RMS)."""
    speech_lufs: Range | None = None
    """Loudness of all that a speaker says, joined (ITU-R BS.1770-4), in place of `speech_dbfs`."""
    jitter_db: Annotated[float, Field(ge=0)] = 1.0
    """Largest deviation of one utterance from its speaker's level."""
    peak_dbfs: Annotated[float, Field(le=0)] = -1.0
    """The mixture is scaled down to this peak if it would exceed it."""


class RegistrationConfig(Section):
    """Speech of each speaker from outside the session, for enrolment."""

    lengths: tuple[Annotated[float, Field(gt=0, le=600)], ...] = (5.0,)
    """Seconds of each speaker's clips; an empty list writes none. A speaker with too little speech
    outside the session has no clip of that length."""
    room: Literal["dry", "other"] = "dry"
    """Clean, or as heard in another room than the session's."""
    rooms: Annotated[int, Field(ge=1, le=1000)] = 8
    """Number of other rooms, shared by all sessions."""
    distractors: Annotated[int, Field(ge=0, le=100)] = 0
    """Speakers of the corpus who are not in the session and have clips, too."""
    same_recording: bool = False
    """Allow utterances from the source recordings that the session's own are from."""

    @field_validator("lengths")
    @classmethod
    def _in_order(cls, lengths: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(lengths)))


class SimulationConfig(Section):
    """Everything that decides what the sessions are; not where and how they are written."""

    sampling_rate: Annotated[int, Field(ge=8000, le=192000)] = 16000
    session: SessionConfig = SessionConfig()
    turns: TurnsConfig = TurnsConfig()
    utterances: UtterancesConfig = UtterancesConfig()
    text: TextConfig = TextConfig()
    room: RoomConfig = RoomConfig()
    noise: NoiseConfig = NoiseConfig()
    levels: LevelsConfig = LevelsConfig()
    registration: RegistrationConfig = RegistrationConfig()
    sounds: SoundsConfig = SoundsConfig()
    music: MusicConfig = MusicConfig()
    channel: ChannelConfig = ChannelConfig()

    @model_validator(mode="after")
    def _shares_fit_the_speakers(self) -> Self:
        shares, speakers = self.turns.shares, self.session.speakers
        if shares is not None and speakers is not None and speakers != (len(shares),) * 2:
            raise ValueError(
                f"turns.shares has {len(shares)} numbers, but session.speakers is "
                f"{speakers[0]}-{speakers[1]}: leave the speakers out or make them {len(shares)}"
            )
        return self

    def plain(self) -> dict[str, JsonValue]:
        """As JSON values; paths as they were given."""
        values: dict[str, JsonValue] = self.model_dump(mode="json")
        return values


def load_config(
    path: Path | None = None,
    assignments: Sequence[str] = (),
    *,
    preset: str | None = None,
    **overrides: Any,
) -> SimulationConfig:
    """The defaults, changed by a preset, a YAML file, ``a.b=c`` texts, and dotted overrides.

    Args:
        path: YAML file with any part of the configuration.
        assignments: Texts such as ``room.t60=[0.3,0.6]``; the value is read as YAML.
        preset: A name of `CONFIG_PRESETS`; all else goes before it.
        overrides: Values by name with ``__`` for the dot, such as ``session__speakers=(2, 4)``;
            None leaves the value as it is.

    Raises:
        ConfigurationError: If the file is not YAML, or a key or value is wrong; names the key.
    """
    values: dict[str, Any] = {}
    if preset is not None:
        if preset not in CONFIG_PRESETS:
            known = ", ".join(sorted(CONFIG_PRESETS))
            raise ConfigurationError(f"--preset: no preset {preset!r}: choose one of {known}")
        values = yaml_mapping(CONFIG_PRESETS[preset])
    if path is not None:
        _merge(values, yaml_mapping(path))
    assign_all(values, assignments)
    for name, value in overrides.items():
        if value is not None:
            assign(values, name.split("__"), value)
    try:
        return SimulationConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = "no such key" if first["type"] == "extra_forbidden" else first["msg"]
        source = f"{path}: " if path is not None else ""
        got = f"{key}: {what}, got {first['input']!r}" if key else what  # else two sections clash
        raise ConfigurationError(f"{source}{got}") from error


def _merge(values: dict[str, Any], others: dict[str, Any]) -> None:
    """Put `others` over `values`, section by section."""
    for key, other in others.items():
        mine = values.get(key)
        if isinstance(mine, dict) and isinstance(other, dict):
            _merge(mine, other)
        else:
            values[key] = other
