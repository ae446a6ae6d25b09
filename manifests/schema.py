"""The data contract: what one session holds, with its version and its JSON Schema.

A `Session` is the only type that crosses a border between the parts of talkover. On disk it is one
Lhotse cut (`talkover.manifests.lhotse_form`): what Lhotse knows by name stands where Lhotse looks
for it, and the rest under one key ``custom["talkover"]``. The split is visible here: the fields of
`SessionExtras` and `SupervisionExtras` are what goes under that key.

Every time is in seconds of the session's own clock (0 = first sample of the session's audio) with
the integer sample beside it; the integer is the truth and the seconds are ``sample / rate`` rounded
to `TIME_DIGITS`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

SCHEMA_VERSION = "1.1"
"""Major: a reader must refuse; minor: only optional fields were added (1.1: annotation)."""

TIME_DIGITS = 8
"""Digits after the point of a time in seconds: Lhotse's own rounding (`lhotse.utils`)."""

PAUSE_JOIN = 0.2
"""Seconds; speech of one speaker is one region while its gaps are shorter (design, section 3)."""

Seconds = Annotated[float, Field(allow_inf_nan=False)]
Decibels = Annotated[float, Field(allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Metres = tuple[float, float, float]
SafeId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$", max_length=200)]
"""An id that may become a file name: ASCII letters, digits, ``-_.``, not starting with a dot."""
RelativePath = Annotated[
    str, Field(pattern=r"^(?!/)(?!.*(?:^|/)\.\.(?:/|$))[^\\\x00-\x1f]+$", max_length=1024)
]
"""A path below the folder of the manifest, with forward slashes and without ``..``."""

Role = Literal["turn", "backchannel", "interruption"]
"""How a supervision took the floor: in order, inside somebody's turn, or over its end."""

WordSource = Literal["reference", "alignment", "synthesis", "recognition"]
"""Where word times come from: the corpus, a forced aligner, a synthesiser, a recogniser."""


class Contract(BaseModel):
    """Base of all types of the contract: immutable, no unknown field, no silent conversion."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        regex_engine="python-re",  # RelativePath looks ahead, which the Rust engine cannot
    )


class TimeSpan(Contract):
    """A stretch of the session's clock, in seconds and in samples."""

    start: Seconds
    duration: Annotated[Seconds, Field(ge=0.0)]
    start_sample: int
    num_samples: Annotated[int, Field(ge=0)]

    @property
    def end(self) -> float:
        """End in seconds of the session's clock."""
        return round(self.start + self.duration, TIME_DIGITS)

    @property
    def end_sample(self) -> int:
        """First sample after the span."""
        return self.start_sample + self.num_samples


def span_fields(start_sample: int, num_samples: int, sampling_rate: int) -> dict[str, float | int]:
    """The four fields of a `TimeSpan`, from the two that are the truth.

    >>> span_fields(8000, 4000, 16000)
    {'start': 0.5, 'duration': 0.25, 'start_sample': 8000, 'num_samples': 4000}
    """
    return {
        "start": round(start_sample / sampling_rate, TIME_DIGITS),
        "duration": round(num_samples / sampling_rate, TIME_DIGITS),
        "start_sample": start_sample,
        "num_samples": num_samples,
    }


def time_span(start_sample: int, num_samples: int, sampling_rate: int) -> TimeSpan:
    """A span from samples; see `span_fields`."""
    return TimeSpan(
        start=round(start_sample / sampling_rate, TIME_DIGITS),
        duration=round(num_samples / sampling_rate, TIME_DIGITS),
        start_sample=start_sample,
        num_samples=num_samples,
    )


class Claim(Contract):
    """Who says so: the backend behind a label that no human and no simulator made."""

    backend: str
    version: str
    weights_sha256: Sha256 | None = None
    licence: str | None = None
    confidence: Ratio | None = None
    truncated: bool | None = None
    """Whether the backend stopped before it had said all of the recording; None: it cannot tell."""
    looped: bool | None = None
    """Whether the backend got stuck repeating itself somewhere; None: it cannot tell."""
    coverage: Ratio | None = None
    """Share of the recording up to the last end that the backend named."""
    non_commercial: Literal[True] | None = None
    """The licence of the weights forbids commercial use."""


class Word(TimeSpan):
    """One word on the session's clock."""

    symbol: Annotated[str, Field(min_length=1)]
    score: Annotated[float, Field(allow_inf_nan=False)] | None = None


class Source(Contract):
    """The single-speaker utterance that a supervision was cut from."""

    corpus: str
    corpus_version: str | None = None
    recording_id: str
    utterance_id: str
    offset: Annotated[Seconds, Field(ge=0.0)]
    """Seconds into the utterance at which the used part begins, on the utterance's clock."""
    duration: Annotated[Seconds, Field(ge=0.0)]
    """Seconds of the utterance that were used, before any change of speed."""
    licence: str | None = None
    attribution: str | None = None
    """Whom the licence wants to be named, where it is known."""
    sha256: Sha256 | None = None
    """Hash of the utterance's PCM as it was used (int16, session rate); of a sound's file."""


class SupervisionExtras(Contract):
    """What Lhotse has no field for, of one utterance of a turn."""

    turn_id: SafeId
    speaker_local: Annotated[str, Field(pattern=r"^S[0-9]{2,}$")]
    """``S01``, ``S02``, … in order of first appearance in the session."""
    role: Role = "turn"
    start_sample: int
    num_samples: Annotated[int, Field(ge=0)]
    regions: tuple[TimeSpan, ...]
    """Where the speaker is heard: runs of words, or of measured activity, gaps < `PAUSE_JOIN`."""
    word_samples: tuple[tuple[int, int], ...] | None = None
    """(start sample, number of samples) of each word, beside the seconds in ``alignment``."""
    word_source: WordSource | None = None
    text_normalized: str | None = None
    normalizer: str | None = None
    source: Source | None = None
    gain_db: Decibels | None = None
    level_dbfs: Decibels | None = None
    """Active-speech level of the dry signal after the gain, dB re full scale (RMS)."""
    speed: Annotated[float, Field(gt=0.0)] = 1.0
    claim: Claim | None = None
    chunk: Annotated[int, Field(ge=0)] | None = None
    """Number of the stretch of a long recording that the backend heard it in, from 0."""
    chunk_speaker: str | None = None
    """The backend's own label of the speaker in that stretch."""


class Supervision(SupervisionExtras):
    """One utterance of a turn: who said what, when; supervisions of a turn share ``turn_id``."""

    id: SafeId
    speaker: SafeId
    """Speaker across the corpus."""
    start: Seconds
    duration: Annotated[Seconds, Field(ge=0.0)]
    text: str | None = None
    """None where no transcript is known; such supervisions are left out of text targets."""
    language: str | None = None
    gender: str | None = None
    words: tuple[Word, ...] | None = None

    @property
    def end(self) -> float:
        """End in seconds of the session's clock."""
        return round(self.start + self.duration, TIME_DIGITS)

    @property
    def end_sample(self) -> int:
        """First sample after the supervision."""
        return self.start_sample + self.num_samples


class SoundEvent(TimeSpan):
    """A sound that is not speech of a supervision, or a piece of music."""

    id: SafeId
    kind: Literal["sound", "music", "noise"]
    label: str
    snr_db: Decibels | None = None
    """As measured; None where nobody did."""
    snr_db_asked: Decibels | None = None
    snr_definition: str | None = None
    """In words: which signals, frames and channel the ratio is of."""
    positions_m: tuple[Metres, ...] | None = None
    """Where in the room it came from: one place, or several at once."""
    source: Source | None = None
    claim: Claim | None = None
    attributes: dict[str, JsonValue] | None = None
    """Further figures, the unit in the name, such as ``tempo_bpm`` and ``key`` of music."""


class Audio(Contract):
    """The rendered or recorded audio of the session."""

    path: RelativePath
    sha256: Sha256 | None = None
    """Of the file; None for audio that was never written, as in training on the fly."""
    pcm_sha256: Sha256
    """Of the decoded samples, interleaved little-endian, whatever container holds them."""
    sampling_rate: Annotated[int, Field(gt=0)]
    num_samples: Annotated[int, Field(gt=0)]
    num_channels: Annotated[int, Field(gt=0)]
    format: Literal["flac", "wav", "ogg", "mp3", "other"]
    subtype: str

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return round(self.num_samples / self.sampling_rate, TIME_DIGITS)


class Room(Contract):
    """The room of a session: a shoebox, a set of measured responses, or none (dry)."""

    kind: Literal["shoebox", "measured", "dry"]
    provider: str | None = None
    """What made the responses, such as ``shoebox``, ``images`` or ``pra_rays``."""
    id: str
    dimensions_m: Metres | None = None
    t60_asked: Seconds | None = None
    t60_octaves: tuple[float, ...] | None = None
    """Relative reverberation time of the octave bands from 125 Hz to 8 kHz, as asked."""
    t60_measured: Seconds | None = None
    """T30 fit of the first channel, median over seats, in seconds."""
    absorption: Ratio | None = None


class Microphones(Contract):
    """Geometry of what recorded the session; one entry of ``positions_m`` a channel."""

    name: str
    positions_m: tuple[Metres, ...] | None = None
    pattern: str = "omnidirectional"
    devices: tuple[int, ...] | None = None
    """Device number of each channel; channels of a device share one clock."""
    worn_by: tuple[str | None, ...] | None = None
    """Local speaker who wears the microphone of each channel (headsets); None where nobody does."""


class SeatWaypoint(Contract):
    """Where a moving speaker is at one time; the way to the next is straight and even."""

    start: Seconds
    start_sample: Annotated[int, Field(ge=0)]
    position_m: Metres
    facing_deg: float


class Seat(Contract):
    """Where a speaker was, and the response from there to the microphones."""

    speaker_local: str
    position_m: Metres | None = None
    azimuth_deg: float | None = None
    distance_m: float | None = None
    facing_deg: float | None = None
    """Where the mouth points to, degrees counter-clockwise from the room's first axis."""
    directivity: str | None = None
    """How the voice radiates: omni, cardioid or head."""
    trajectory: tuple[SeatWaypoint, ...] = ()
    """Of a speaker who moves; the other fields tell where the session begins."""
    drr_db_asked: Decibels | None = None
    drr_db: Decibels | None = None
    """Direct-to-reverberant ratio of the first channel (direct: ± 2.5 ms), dB."""
    rir_id: str | None = None
    rir_sha256: Sha256 | None = None
    direct_delay_samples: int = 0
    """Samples from emission to the direct path at the first channel; the labels include it."""


class Scene(Contract):
    """Room, microphones and seats of a session."""

    room: Room
    microphones: Microphones
    seats: tuple[Seat, ...]


class SpeakerLevel(Contract):
    """How loud one speaker was asked to be, and came out."""

    speaker_local: Annotated[str, Field(pattern=r"^S[0-9]{2,}$")]
    unit: Literal["dbfs", "lufs"]
    asked: Decibels
    measured: Decibels
    definition: str
    """In words: which signal the figure is of."""


class Noise(Contract):
    """One noise of the session, and its level as asked and as measured."""

    id: str
    kind: Literal["ambient", "point", "diffuse", "white", "pink", "speech_shaped"]
    sha256: Sha256 | None = None
    licence: str | None = None
    offset_samples: int = 0
    position_m: Metres | None = None
    """Where a point source is."""
    snr_db_asked: Decibels
    snr_db_measured: Decibels
    snr_definition: str
    """In words: which signals, frames and channel the ratio is of."""


class ChannelEffect(Contract):
    """One step of the channel after the mix (telephone band, codec, clipping, …)."""

    name: str
    device: int | None = None
    """Device whose channels it is of; None: all."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    seed: int | None = None
    """Of what the effect draws by itself, such as which packets are lost."""
    measured: dict[str, JsonValue] = Field(default_factory=dict)
    """What came out, such as the number of clipped samples."""


class Stem(Contract):
    """One signal beside the mixture: of the additive law, or a target."""

    kind: Literal["speaker", "noise", "music", "sound"]
    """Stems of the last three hold all noises, all music and all sound events of the session."""
    target: Literal["reverberant", "early", "direct", "dry"] = "reverberant"
    """What of a speaker: all that is heard, which is the speaker's part of the additive law; its
    first part alone (50 ms unless `early_seconds` says otherwise); the direct path; or the voice
    itself, one channel without a room, in time with the labels. None of the last three is part of
    the law."""
    early_seconds: Annotated[float, Field(gt=0)] | None = None
    """Seconds after the direct path, for ``early``."""
    speaker_local: str | None = None
    path: RelativePath
    sha256: Sha256
    subtype: str


class Mix(Contract):
    """How the mixture was summed and scaled."""

    gain_db: Decibels
    """One gain over the whole session, for headroom; included in the stems."""
    peak_dbfs: Decibels
    clipped_samples: Annotated[int, Field(ge=0)]
    stems: tuple[Stem, ...] = ()
    residual_peak: Annotated[float, Field(ge=0.0)] | None = None
    """Largest |mixture - sum of stems| before the channel, full scale = 1."""
    pre_channel: RelativePath | None = None
    """The mixture before ``channel[]``, where there is a channel stage."""
    channel_peak_dbfs: Decibels | None = None
    """Peak after the channel, before it was held to 16 bit; None without a channel."""
    channel_clipped_samples: Annotated[int, Field(ge=0)] | None = None
    """Samples over full scale after the channel; None without one."""


class Quantiles(Contract):
    """Tenth, fiftieth and ninetieth percentile in seconds, and how many values there were."""

    count: int
    p10: Seconds | None = None
    p50: Seconds | None = None
    p90: Seconds | None = None


class Statistics(Contract):
    """Turn-taking figures of one session, from its speech regions."""

    speech: Seconds
    """Time with at least one speaker, seconds."""
    overlap: Seconds
    """Time with two or more speakers, seconds."""
    overlap_of_speech: Ratio
    overlap_of_time: Ratio
    silence_of_time: Ratio
    max_concurrent: int
    num_speakers: int
    num_turns: int
    talk_shares: dict[str, Ratio]
    """Share of each local speaker in the sum of all speakers' speech."""
    floor_transfer_offsets: Quantiles
    pauses: Quantiles


class Asked(Contract):
    """Targets of the session as they were given or drawn; `Statistics` has what came out."""

    overlap_of_speech: Ratio | None = None
    silence_of_time: Ratio | None = None
    duration: Seconds | None = None
    num_speakers: Annotated[int, Field(ge=1)] | None = None
    talk_shares: dict[str, Ratio] | None = None
    """By local speaker, where shares were asked for; drawn shares are not kept."""
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    text_order: str | None = None
    """Name of the plug-in that chose what is said, such as ``book`` or ``script``."""
    unmatched_lines: tuple[str, ...] = ()
    """Lines of the script that no utterance was found for; they are not said."""
    sound_events: int | None = None
    """Number of events; some may have found no place between the turns."""
    registration_clips: int | None = None
    """Number of clips; some speakers may have too little speech outside the session."""


class RegistrationClip(Contract):
    """Speech of one speaker from outside the session, for enrolment."""

    speaker: SafeId
    speaker_local: str | None = None
    """None for a distractor, who does not speak in the session."""
    path: RelativePath
    sha256: Sha256
    duration: Seconds
    length: Annotated[Seconds, Field(gt=0.0)] | None = None
    """Duration that was asked for, seconds."""
    room: Room | None = None
    """The other room that it is heard in; None for clean speech."""
    utterance_ids: tuple[str, ...]
    in_session: Literal[False] = False


class Provenance(Contract):
    """What made the session, enough to make it again. Holds no time, host or path."""

    tool: str
    version: str
    configuration: dict[str, JsonValue]
    configuration_hash: Sha256
    corpus_hash: Sha256 | None = None
    root_seed: int | None = None
    session_index: int | None = None
    plan_hash: Sha256 | None = None


class Branch(Contract):
    """A branch of the annotation, and who spoke for it."""

    kind: Annotated[str, Field(min_length=1)]
    """Such as ``vad`` or ``diarizer``."""
    claim: Claim
    figures: dict[str, JsonValue] = Field(default_factory=dict)
    """What it says of the recording as a whole, the unit in the name."""


class RecognisedVoice(Contract):
    """Whether a speaker of the session is one of those who were enrolled."""

    speaker_local: Annotated[str, Field(pattern=r"^S[0-9]{2,}$")]
    name: str | None = None
    """As enrolled; None for somebody unknown."""
    similarity: Annotated[float, Field(ge=-1.0, le=1.0)]
    """Cosine to the most similar enrolled voice."""


class NearDuplicate(Contract):
    """Another session of the folder whose audio is nearly the same."""

    session: SafeId
    similarity: Ratio


class Annotation(Contract):
    """How an annotated session was made, how good its audio is, and what to beware of."""

    channel: Annotated[int, Field(ge=0)] | Literal["mean", "each"]
    """What was heard of several channels: one, their mean, or each by itself."""
    branches: tuple[Branch, ...]
    quality: dict[str, JsonValue] = Field(default_factory=dict)
    """Figures of the audio, the unit in the name, such as ``snr_db``; None where not known."""
    flags: tuple[str, ...] = ()
    """What a filter may look at, such as ``clipped`` or ``degraded:music``; nothing is dropped."""
    warnings: tuple[str, ...] = ()
    speakers_asked: tuple[int | None, int | None] | None = None
    """Fewest and most speakers, where somebody said so."""
    recognised: tuple[RecognisedVoice, ...] = ()
    near_duplicates: tuple[NearDuplicate, ...] = ()
    num_segments: Annotated[int, Field(ge=0)] = 0
    """Lines of ``segments.jsonl`` that are of this session."""


class Licences(Contract):
    """All licences in the session's audio and labels."""

    spdx: tuple[str, ...]
    attribution: tuple[str, ...] = ()
    non_commercial: bool = False


class SessionExtras(Contract):
    """What Lhotse has no field for, of one session."""

    schema_version: str = SCHEMA_VERSION
    origin: Literal["simulated", "annotated", "converted"]
    split: str | None = None
    split_group: str | None = None
    audio: Audio
    events: tuple[SoundEvent, ...] = ()
    scene: Scene | None = None
    levels: tuple[SpeakerLevel, ...] = ()
    noise: tuple[Noise, ...] = ()
    mix: Mix | None = None
    channel: tuple[ChannelEffect, ...] = ()
    asked: Asked | None = None
    statistics: Statistics | None = None
    registration: tuple[RegistrationClip, ...] = ()
    annotation: Annotation | None = None
    """Of sessions that `talkover annotate` made of recordings."""
    provenance: Provenance
    licences: Licences
    uem: tuple[TimeSpan, ...]
    """The stretches that are labelled and may be scored."""


class Session(SessionExtras):
    """One conversation: its audio, and who said what, when. Supervisions are in time order."""

    id: SafeId
    supervisions: tuple[Supervision, ...]
