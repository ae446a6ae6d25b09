"""The model: features, encoders, projectors, fusion, layout, any causal language model.

::

    audio ─ log-mel ─┬ semantic encoder ─ projector ─┐            CTC ┐
                     └ speaker encoder ── projector ─┴ fusion + cues ─┴ language model ─ answer
                                 └ activity, voices

Shapes: ``B`` batch, ``N`` samples, ``T`` frames or vectors, ``L`` positions, ``H`` width of the
language model, ``K`` speakers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel

from talkover.manifests.errors import ConfigurationError
from talkover.model.batch import Batch
from talkover.model.codec import SatsCodec
from talkover.model.config import LmConfig, Parts, SatsConfig, Tables
from talkover.model.cues import Cues, clock_embeddings
from talkover.model.encoders import Encoded, build_encoder, mask_of, pooled
from talkover.model.encoders.hf import HfEncoderConfig, hf_config
from talkover.model.features import LogMel, spec_augment
from talkover.model.fusion import StreamFusion, check_rates
from talkover.model.layout import IGNORED, MERGED, SPLIT, Kind, Streams, Vocabulary
from talkover.model.losses import (
    Loss,
    SpeakerClassifier,
    activity_loss,
    answer_loss,
    ctc_loss,
    speaker_loss,
)
from talkover.model.projectors import Projector


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What the encoders made of a batch."""

    semantic: Tensor
    """``[B, T, H]`` vectors, with the cues."""
    speaker: Tensor | None
    """``[B, T', H]`` vectors of a stream of its own."""
    encoded: Encoded
    voices: Encoded | None
    unit_logits: Tensor | None
    """``[B, T, 1 + U]``."""
    activity_logits: Tensor | None
    """``[B, T, K]``."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """Losses by name, and the logits that the answer's loss saw."""

    losses: dict[str, Loss]
    logits: Tensor | None = None
    """``[B, kept positions, V]``."""


CUED_SHARE = 0.3
"""Loudness at which projected audio begins beside cues, in that of text: four equal voices would
drown the cues that can be copied at once."""


class SatsModel(PreTrainedModel):  # type: ignore[misc, no-untyped-call, unused-ignore]
    """One model for every published layout; see `talkover.model.presets`."""

    config_class = SatsConfig
    base_model_prefix = ""
    main_input_name = "audio"
    _supports_sdpa = True
    _supports_flash_attn = True
    supports_gradient_checkpointing = True
    _tied_weights_keys: Any = None

    def __init__(self, config: SatsConfig) -> None:
        """Make random weights of the right shapes; see `build_model` and ``from_pretrained``."""
        super().__init__(config)
        parts = self.parts = config.typed()
        self.features = LogMel(parts.features)
        bands, rate = parts.features.num_mels, parts.features.frame_rate
        self.semantic = build_encoder(parts.semantic, bands, rate)
        self.speaker = None if parts.speaker is None else build_encoder(parts.speaker, bands, rate)
        self.lm = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            AutoConfig.for_model(**dict(parts.lm.config)), attn_implementation=parts.lm.attention
        )
        width = self.lm.get_input_embeddings().weight.shape[1]
        self.projector = Projector(self.semantic.width, width, parts.projector)
        self.speaker_projector = (
            None
            if self.speaker is None or parts.layout.fusion == "single"
            else Projector(self.speaker.width, width, parts.speaker_projector)
        )
        self.fusion = StreamFusion(parts.layout.fusion, width)
        tables = parts.tables
        self.unit_head = nn.Linear(self.semantic.width, 1 + len(tables.units))
        self.activity_head = self.classifier = None
        if self.speaker is not None:
            self.activity_head = nn.Linear(self.speaker.width, parts.max_speakers)
            if tables.voices:
                self.classifier = SpeakerClassifier(
                    2 * self.speaker.width, parts.voice_width, len(tables.voices)
                )
        self.cues = (
            Cues(
                units=tables.units if parts.cues.words else (),
                speakers=tables.speakers if parts.cues.speakers else (),
                times=tables.times if parts.cues.times else (),
                steps_per_second=10**parts.codec.digits,
                width=width,
            )
            if parts.cues.are_any
            else None
        )
        self.registration = (
            nn.Linear(parts.registration_width or 2 * self._voice_inputs(), width)
            if parts.layout.registration
            else None
        )
        if self.speaker_projector is not None:
            check_rates(parts.layout.fusion, self.semantic_rate, self.speaker_rate)
        self.mask_generator: torch.Generator | None = None
        self.post_init()  # type: ignore[no-untyped-call]

    def _voice_inputs(self) -> int:
        if self.speaker is None:
            raise ConfigurationError(
                "layout.registration needs a speaker encoder or registration_width"
            )
        return int(self.speaker.width)

    def _init_weights(self, module: nn.Module) -> None:
        """Leave torch's own initial weights; the language model has initialised itself."""

    @property
    def semantic_rate(self) -> float:
        """Semantic vectors a second."""
        return float(self.semantic.rate_hz / self.projector.merge)

    @property
    def speaker_rate(self) -> float:
        """Speaker vectors a second; 0 without a stream of their own."""
        if self.speaker is None or self.speaker_projector is None:
            return 0.0
        return float(self.speaker.rate_hz / self.speaker_projector.merge)

    def streams(self, num_samples: int, registered: tuple[str, ...] = ()) -> Streams:
        """How many vectors a recording of so many samples has, known before it is encoded."""
        frames = self.parts.features.num_frames(num_samples)
        semantic = self.projector.num_vectors(self.semantic.num_frames(frames))
        speaker = 0
        if self.speaker is not None and self.speaker_projector is not None:
            speaker = self.speaker_projector.num_vectors(self.speaker.num_frames(frames))
        fusion = self.parts.layout.fusion
        return Streams(
            semantic=min(semantic, speaker) if fusion in MERGED else semantic,
            semantic_rate=self.semantic_rate,
            speaker=speaker if fusion in SPLIT else 0,
            speaker_rate=self.speaker_rate if fusion in SPLIT else 0.0,
            registered=registered,
        )

    def activity_frames(self, num_samples: int) -> int:
        """Frames of the activity head for so many samples; 0 without one."""
        if self.speaker is None:
            return 0
        return int(self.speaker.num_frames(self.parts.features.num_frames(num_samples)))

    def counts(self, batch: Batch) -> dict[str, int]:
        """What each loss will count in a batch, known before it is encoded."""
        alone = batch.activity & (batch.activity.sum(2, keepdim=True) == 1)
        frames = [self.activity_frames(n) for n in batch.num_samples.tolist()]
        known = batch.is_activity_known.tolist()
        return {
            "answer": int((batch.labels[:, 1:] != IGNORED).sum()),
            "ctc": int(batch.num_units.sum()),
            "activity": self.parts.max_speakers
            * sum(n for n, k in zip(frames, known, strict=True) if k),
            "speaker": int(((batch.voices != IGNORED) & alone.any(1)).sum()),
        }

    def unit_frames(self, num_samples: int) -> int:
        """Frames over which CTC spreads its units."""
        return int(self.semantic.num_frames(self.parts.features.num_frames(num_samples)))

    def hear(self, audio: Tensor, num_samples: Tensor) -> Heard:
        """Encode a batch of recordings: ``[B, N]``, ``[B]``."""
        features, lengths = self.features(audio, num_samples)
        if self.training and self.parts.mask is not None and self.mask_generator is not None:
            features = spec_augment(
                features, self.parts.mask, self.parts.features.frame_rate, self.mask_generator
            )
        encoded = self.semantic(features, lengths)
        unit_logits = self.unit_head(encoded.hidden) if self.parts.tables.units else None
        semantic = self.projector(encoded.hidden)
        voices = activity = speaker = None
        if self.speaker is not None and self.activity_head is not None:
            voices = self.speaker(features, lengths)
            activity = self.activity_head(voices.hidden)
            if self.speaker_projector is not None:
                speaker = self.speaker_projector(voices.hidden)
        semantic, speaker = self.fusion(semantic, speaker)
        if self.cues is not None:
            table = self.lm.get_input_embeddings().weight
            semantic = semantic + self.cues(
                table, self.semantic_rate, semantic.shape[1], unit_logits, activity
            )
        return Heard(
            semantic=semantic,
            speaker=speaker,
            encoded=encoded,
            voices=voices,
            unit_logits=unit_logits,
            activity_logits=activity,
        )

    def embed(self, batch: Batch, heard: Heard) -> Tensor:
        """Embeddings of every position, ``[B, L, H]``.

        Raises:
            ValueError: If the layout has other numbers of vectors than the encoders gave.
        """
        embedded: Tensor = self.lm.get_input_embeddings()(batch.input_ids)
        sources = {Kind.SEMANTIC: heard.semantic, Kind.SPEAKER: heard.speaker}
        if batch.registration is not None and self.registration is not None:
            sources[Kind.REGISTRATION] = self.registration(batch.registration)
        for kind, vectors in sources.items():
            place = batch.kinds == int(kind)
            counts = place.sum(1)
            if vectors is None:
                if bool(counts.any()):
                    raise ValueError(f"the layout has {kind.name} positions, the model no such")
                continue
            if int(counts.max()) > vectors.shape[1]:
                raise ValueError(
                    f"the layout has {int(counts.max())} {kind.name} positions, the encoder gave "
                    f"{vectors.shape[1]} vectors: it is the layout of another model"
                )
            real = vectors[mask_of(counts, vectors.shape[1])]
            embedded = embedded.masked_scatter(place[..., None], real.to(embedded.dtype))
        return embedded

    def forward(self, batch: Batch, losses: tuple[str, ...] = ("answer", "ctc")) -> Output:
        """The losses that are asked for, of ``answer``, ``ctc``, ``activity`` and ``speaker``.

        Only the positions that have labels get logits.
        """
        heard = self.hear(batch.audio, batch.num_samples)
        found: dict[str, Loss] = {}
        logits = None
        if "answer" in losses:
            found["answer"], logits = self._answer(batch, heard)
        if "ctc" in losses and heard.unit_logits is not None:
            found["ctc"] = ctc_loss(
                heard.unit_logits, heard.encoded.lengths, batch.units, batch.num_units
            )
        if "activity" in losses and heard.activity_logits is not None:
            found["activity"] = self._activity(batch, heard)
        if "speaker" in losses and heard.voices is not None and self.classifier is not None:
            found["speaker"] = self._speakers(batch, heard.voices)
        return Output(losses=found, logits=logits)

    def _answer(self, batch: Batch, heard: Heard) -> tuple[Loss, Tensor]:
        mask = (batch.kinds != int(Kind.PAD)).long()
        labels = batch.labels[:, 1:]
        kept = (labels != IGNORED).any(0).nonzero().squeeze(1)  # positions that predict a label
        logits = self.lm(
            inputs_embeds=self.embed(batch, heard), attention_mask=mask, logits_to_keep=kept
        ).logits
        smoothing = self.parts.losses.label_smoothing
        return answer_loss(logits, labels[:, kept], smoothing), logits

    def _activity(self, batch: Batch, heard: Heard) -> Loss:
        assert heard.activity_logits is not None and heard.voices is not None
        mask = mask_of(heard.voices.lengths, heard.activity_logits.shape[1])
        return activity_loss(
            heard.activity_logits,
            batch.activity,
            mask & batch.is_activity_known[:, None],
            self.parts.losses.invariant,
        )

    def _speakers(self, batch: Batch, voices: Encoded) -> Loss:
        """Who speaks, from the frames where nobody else does."""
        alone = batch.activity & (batch.activity.sum(2, keepdim=True) == 1)
        weights = alone.transpose(1, 2).float()  # [B, K, T]
        assert self.classifier is not None
        cosines = self.classifier(self.voice(voices, weights))
        classes = torch.where(weights.sum(-1) > 0, batch.voices, IGNORED)
        options = self.parts.losses
        return speaker_loss(cosines.flatten(0, 1), classes.flatten(), options.margin, options.scale)

    @staticmethod
    def voice(voices: Encoded, weights: Tensor) -> Tensor:
        """Embeddings before the classifier: ``[B, K, T]`` weights to ``[B, K, 2 D]``."""
        return pooled(voices.taps[0] if voices.taps else voices.hidden, weights)

    @torch.no_grad()
    def generate(self, batch: Batch, **options: Any) -> Tensor:
        """Token ids of the answers, ``[B, new]``; the layouts end where the answer begins.

        Args:
            batch: Padded on the left.
            options: For the language model's ``generate``, such as ``logits_processor``.
        """
        heard = self.hear(batch.audio, batch.num_samples)
        ids: Tensor = self.lm.generate(
            inputs_embeds=self.embed(batch, heard),
            attention_mask=(batch.kinds != int(Kind.PAD)).long(),
            **options,
        )
        return ids


def vocabulary_of(codec: SatsCodec) -> Vocabulary:
    """What the layout needs of a codec."""
    return Vocabulary(
        encode=codec.encode_text,
        time_id=codec.time_id,
        pad_id=codec.pad_id,
        end_id=codec.end_id,
        semantic_id=codec.semantic_id,
        speaker_id=codec.speaker_id,
        registration_id=codec.registration_id,
    )


def build_model(
    parts: Parts, codec: SatsCodec, *, units: tuple[int, ...] = (), voices: tuple[str, ...] = ()
) -> SatsModel:
    """A model ready to be trained: random weights, or those of the folders that the parts name.

    Args:
        parts: What it is made of.
        codec: Its text format and tokenizer.
        units: Token ids that CTC knows, such as those of the words of the training texts.
        voices: Corpus-wide ids of speakers that the classifier knows.

    Raises:
        ConfigurationError: If parts do not fit each other.
    """
    parts = replace(
        parts,
        lm=_with_vocabulary(parts.lm, codec),
        tables=Tables(
            units=units,
            speakers=tuple(codec.speaker_ids(parts.max_speakers)) if parts.cues.speakers else (),
            times=tuple(codec.time_ids()),
            voices=voices,
        ),
    )
    if parts.cues.times and not parts.tables.times:
        raise ConfigurationError("cues.times needs atoms of times: set codec.atoms.max_time")
    model = SatsModel(SatsConfig.of(parts))
    if parts.lm.path is not None:
        model.lm = AutoModelForCausalLM.from_pretrained(
            parts.lm.path,
            local_files_only=True,
            attn_implementation=parts.lm.attention,
            dtype=torch.float32,
        )
        model.lm.resize_token_embeddings(int(parts.lm.config["vocab_size"]), mean_resizing=False)
    _keep_encoder_configurations(model)
    table = model.lm.get_input_embeddings().weight
    loudness = float(table.detach().float().square().mean().sqrt())
    share = CUED_SHARE if parts.cues.are_any else 1.0
    for projector in (model.projector, model.speaker_projector):
        if projector is not None:
            projector.start_at_loudness(share * loudness)
    if parts.cues.times and parts.lm.path is None:
        with torch.no_grad():
            rows = torch.tensor(model.parts.tables.times)
            table[rows] = loudness * clock_embeddings(
                len(rows), 10**parts.codec.digits, table.shape[1]
            ).to(table.dtype)
    return model


def _with_vocabulary(lm: LmConfig, codec: SatsCodec) -> LmConfig:
    """The language model's configuration, complete and with room for every token."""
    values = dict(lm.config)
    if lm.path is not None:
        values = AutoConfig.from_pretrained(lm.path, local_files_only=True).to_dict()
    if "model_type" not in values:
        raise ConfigurationError("lm.config must name its model_type, or lm.path a local folder")
    size = max(len(codec), int(values.get("vocab_size", 0)) if lm.path is not None else 0)
    values.update(vocab_size=size, pad_token_id=codec.pad_id, eos_token_id=codec.end_id)
    values.update(bos_token_id=None)
    return replace(lm, config={k: v for k, v in values.items() if _is_plain(v)})


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool, list, dict))


def _keep_encoder_configurations(model: SatsModel) -> None:
    """Store what an encoder of a folder is, so that a checkpoint needs the folder no more."""
    parts = model.parts
    for name in ("semantic", "speaker"):
        encoder = getattr(parts, name)
        if encoder is not None and encoder.kind == "hf" and "config" not in encoder.options:
            found = hf_config(HfEncoderConfig(**encoder.options)).to_dict()
            kept = {key: value for key, value in found.items() if _is_plain(value)}
            options = {**encoder.options, "config": kept}
            parts = replace(parts, **{name: replace(encoder, options=options)})
    model.parts = parts
    model.config.parts = parts.plain()


AutoModel.register(SatsConfig, SatsModel)
