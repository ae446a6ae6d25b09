"""The model: features, encoders, projectors, fusion, layout, any causal language model.

::

                           ┌ taps ─ DeepStack ──────── added behind its first layers ┐
    audio ─ log-mel ─┬ semantic encoder ─ projector ─┐            CTC ┐              │
                     └ speaker encoder ── projector ─┴ fusion + cues ─┴ language model ─ answer
                                 └ activity, voices

`talkover.model.build` makes one from its parts.

Shapes: ``B`` batch, ``N`` samples, ``T`` frames or vectors, ``L`` positions, ``H`` width of the
language model, ``K`` speakers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel

from talkover.manifests.errors import ConfigurationError
from talkover.model.answer_losses import WHOLE_ANSWER, AnswerConfig
from talkover.model.batch import Batch
from talkover.model.codec import SatsCodec
from talkover.model.config import SatsConfig
from talkover.model.cues import Cues
from talkover.model.deepstack import DeepStack, DeepStackHooks, spread
from talkover.model.encoders import Encoded, build_encoder, mask_of
from talkover.model.features import LogMel, spec_augment
from talkover.model.fusion import StreamFusion, check_rates
from talkover.model.layout import MERGED, SPLIT, Kind, Streams, Vocabulary
from talkover.model.lora import insert_lora
from talkover.model.losses import Loss, SpeakerClassifier
from talkover.model.objectives import (
    ANSWERED,
    VOICES,
    Heard,
    answered_losses,
    counts,
    heard_losses,
    kept_positions,
    voice,
)
from talkover.model.onsets import find_units
from talkover.model.projectors import Projector
from talkover.model.voices.hearing import beginnings, observe, said_words
from talkover.model.voices.model import VoiceModel
from talkover.model.voices.said import SaidWord


@dataclass(frozen=True, kw_only=True)
class Output:
    """Losses by name, and the logits that the answer's loss saw."""

    losses: dict[str, Loss]
    logits: Tensor | None = None
    """``[B, kept positions, V]``."""


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
        self.lm: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            AutoConfig.for_model(**dict(parts.lm.config)), attn_implementation=parts.lm.attention
        )
        width = self.lm.get_input_embeddings().weight.shape[1]
        self.projector = Projector(self.semantic.width, width, parts.projector)
        self.speaker_projector = (
            None
            if self.speaker is None or not parts.has_speaker_stream
            else Projector(self.speaker.width, width, parts.speaker_projector)
        )
        self.fusion = StreamFusion(parts.layout.fusion, width)
        self.deepstack = (
            None
            if parts.deepstack is None
            else DeepStack(self.semantic.tap_width, width, parts.deepstack)
        )
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
                has_ends=parts.cues.ends,
            )
            if parts.cues.are_any
            else None
        )
        self.duration_head = self.voices = None
        if parts.voices is not None:
            self.duration_head = nn.Linear(self.semantic.width, 1)
            self.voices = VoiceModel(
                parts.voices,
                num_mels=bands,
                frame_rate=rate,
                sampling_rate=parts.features.sampling_rate,
                num_voices=len(tables.voices),
                num_kinds=1 + len(tables.units),
            )
        self.registration = (
            nn.Linear(parts.registration_width or 2 * self._voice_inputs(), width)
            if parts.layout.registration
            else None
        )
        if self.speaker_projector is not None:
            check_rates(parts.layout.fusion, self.semantic_rate, self.speaker_rate)
        self.mask_generator: torch.Generator | None = None
        self._hooks: DeepStackHooks | None = None
        if parts.lora is not None:
            insert_lora(self, parts.lora)
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

    def counts(self, batch: Batch, answer: AnswerConfig = WHOLE_ANSWER) -> dict[str, int]:
        """What each loss will count in a batch, known before it is encoded."""
        return counts(batch, self, answer)

    def unit_frames(self, num_samples: int) -> int:
        """Frames over which CTC spreads its units."""
        return int(self.semantic.num_frames(self.parts.features.num_frames(num_samples)))

    def hear(
        self,
        audio: Tensor,
        num_samples: Tensor,
        vectors: Tensor | None = None,
        *,
        is_read: bool = True,
    ) -> Heard:
        """Encode a batch of recordings.

        Args:
            audio: ``[B, N]``.
            num_samples: ``[B]``.
            vectors: ``[B, T, D]`` given vectors, for encoders of the kind ``vectors``.
            is_read: Whether the language model will read it; if not, its vectors are not made.
        """
        plain, lengths = self.features(audio, num_samples)
        features = self.masked(plain)
        heard_as = {"features": features, "audio": audio, "vectors": vectors}
        voices = None
        encoded = self.semantic(heard_as[self.semantic.hears], lengths)
        if self.speaker is not None and self.activity_head is not None:
            voices = self.speaker(heard_as[self.speaker.hears], lengths)
        return self.heard_of(encoded, voices, plain, is_read=is_read)

    def masked(self, features: Tensor) -> Tensor:
        """Features ``[B, T, F]`` as training hears them: with SpecAugment, if a stage wants it."""
        if self.training and self.parts.mask is not None and self.mask_generator is not None:
            return spec_augment(
                features, self.parts.mask, self.parts.features.frame_rate, self.mask_generator
            )
        return features

    def heard_of(
        self,
        encoded: Encoded,
        voices: Encoded | None,
        features: Tensor | None = None,
        *,
        is_read: bool = True,
    ) -> Heard:
        """What the heads, projectors, fusion and cues make of the encoders' frames.

        Args:
            encoded: Of the semantic encoder.
            voices: Of the speaker encoder.
            features: ``[B, T, F]`` log-mel, not masked, for voices that are modelled.
            is_read: See `hear`.
        """
        durations = activity = None
        if self.duration_head is not None:
            durations = self.duration_head(encoded.hidden).squeeze(-1)
        if voices is not None and self.activity_head is not None:
            activity = self.activity_head(voices.hidden)
        heard = Heard(
            semantic=None,
            speaker=None,
            encoded=encoded,
            voices=voices,
            unit_logits=self.unit_head(encoded.hidden) if self.parts.tables.units else None,
            activity_logits=activity,
            duration_logits=durations,
            features=features if self.voices is not None else None,
        )
        return self._with_vectors(heard) if is_read else heard

    def _with_vectors(self, heard: Heard) -> Heard:
        """What the language model reads of it."""
        encoded, voices = heard.encoded, heard.voices
        semantic = self.projector(encoded.hidden, encoded.lengths)
        speaker = None
        if voices is not None and self.speaker_projector is not None:
            speaker = self.speaker_projector(voices.hidden, voices.lengths)
        semantic, speaker = self.fusion(semantic, speaker)
        if self.cues is not None:
            table = self.lm.get_input_embeddings().weight
            frames = semantic.shape[1]
            heard = replace(heard, said=self._said(heard))
            begun = None
            if heard.said is not None:
                most = self.parts.max_speakers
                begun = beginnings(heard.said, rate=self.semantic_rate, frames=frames, most=most)
                begun = begun.to(table.device)
            semantic = semantic + self.cues(
                table, self.semantic_rate, frames, heard.unit_logits, heard.activity_logits, begun
            )
        deep = () if self.deepstack is None else self.deepstack(encoded.taps, encoded.lengths)
        return replace(heard, semantic=semantic, speaker=speaker, deep=deep)

    def _said(self, heard: Heard) -> list[list[SaidWord]] | None:
        """Words that were found and who said them, where voices are modelled."""
        units, durations = heard.unit_logits, heard.duration_logits
        if self.voices is None or heard.features is None or units is None or durations is None:
            return None
        found = find_units(units, durations, heard.encoded.lengths, self.semantic.rate_hz)
        return said_words(self.voices, heard.features, found, most=self.parts.max_speakers)

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
            needed = place.sum(1)
            if vectors is None:
                if bool(needed.any()):
                    raise ValueError(f"the layout has {kind.name} positions, the model no such")
                continue
            if int(needed.max()) > vectors.shape[1]:
                raise ValueError(
                    f"the layout has {int(needed.max())} {kind.name} positions, the encoder gave "
                    f"{vectors.shape[1]} vectors: it is the layout of another model"
                )
            real = vectors[mask_of(needed, vectors.shape[1])]
            embedded = embedded.masked_scatter(place[..., None], real.to(embedded.dtype))
        return embedded

    def forward(
        self,
        batch: Batch,
        losses: tuple[str, ...] = ("answer", "ctc"),
        answer: AnswerConfig = WHOLE_ANSWER,
    ) -> Output:
        """The losses that are asked for, of `talkover.model.objectives.OBJECTIVES`.

        Only the positions that have labels get logits.
        """
        is_read = any(name in ANSWERED for name in losses)
        heard = self.hear(batch.audio, batch.num_samples, batch.vectors, is_read=is_read)
        found = heard_losses(heard, batch, self.parts.losses, losses, self.classifier)
        if VOICES in losses and self.voices is not None:
            assert heard.features is not None
            found[VOICES] = observe(self.voices, heard.features, batch)
        logits = None
        if is_read:
            kept = kept_positions(batch)
            logits = self.answer_logits(batch, heard, kept)
            found |= answered_losses(logits, kept, batch, self.parts, losses, answer)
        return Output(losses=found, logits=logits)

    def answer_logits(self, batch: Batch, heard: Heard, kept: Tensor) -> Tensor:
        """Logits of the language model at some positions, ``[B, len(kept), V]``."""
        with self.deep_hooks(batch, heard):
            logits: Tensor = self.lm(
                inputs_embeds=self.embed(batch, heard),
                attention_mask=(batch.kinds != int(Kind.PAD)).long(),
                logits_to_keep=kept,
            ).logits
        return logits

    @contextmanager
    def deep_hooks(
        self, batch: Batch, heard: Heard, *, offset: int | None = None
    ) -> Iterator[None]:
        """Inside the block the language model gets the encoder's taps at the audio's positions.

        Args:
            batch: Its layouts.
            heard: Its taps.
            offset: Position of the first embedding that is read; None asks the key-value cache,
                which is right for one pass, for a prefill in chunks and for generation.
        """
        if self.deepstack is None:
            yield
            return
        if self._hooks is None:
            self._hooks = DeepStackHooks(self.lm, self.deepstack.layers)
        place = batch.kinds == int(Kind.SEMANTIC)
        additions = [spread(vectors, place) for vectors in heard.deep]
        keep = self.training and self._hooks.run_again
        with self._hooks.adding(additions, offset=offset, keep=keep):
            yield

    @staticmethod
    def voice(voices: Encoded, weights: Tensor) -> Tensor:
        """Embeddings before the classifier: ``[B, K, T]`` weights to ``[B, K, 2 D]``."""
        return voice(voices, weights)

    @torch.no_grad()
    def generate(self, batch: Batch, **options: Any) -> Tensor:
        """Token ids of the answers, ``[B, new]``; the layouts end where the answer begins.

        Args:
            batch: Padded on the left.
            options: For the language model's ``generate``, such as ``logits_processor``.
        """
        heard = self.hear(batch.audio, batch.num_samples, batch.vectors)
        with self.deep_hooks(batch, heard):
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
        encode_fixed=codec.encode_fixed,
        time_id=codec.time_id,
        pad_id=codec.pad_id,
        end_id=codec.end_id,
        semantic_id=codec.semantic_id,
        speaker_id=codec.speaker_id,
        registration_id=codec.registration_id,
    )


AutoModel.register(SatsConfig, SatsModel)
