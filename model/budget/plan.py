"""`talkover plan`: tokens of every session, what they cost, what fits a GPU, what cannot be done.

No audio is read and no weights are made: sessions come from the manifests, and the model exists as
shapes alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import read_sessions
from talkover.manifests.schema import Session
from talkover.model.budget.memory import (
    ADAM,
    BYTES,
    Load,
    Memory,
    Precision,
    Shapes,
    cache_bytes,
)
from talkover.model.budget.tokens import Tokens, count_tokens
from talkover.model.build import resolved_parts, with_vocabulary
from talkover.model.codec import SatsCodec, UnknownCharacter, build_codec
from talkover.model.config import Parts, Tables
from talkover.model.modeling import vocabulary_of
from talkover.model.prefill import LONGEST_EAGER, check_attention
from talkover.model.presets import Preset
from talkover.model.run import survey
from talkover.model.stages import Stage, TrainConfig

PERCENTILES = (50, 90, 100)
"""Of the lengths of sessions, that memory is computed for."""
LONGEST = 24 * 3600.0
"""Seconds up to which the longest session that fits is looked for."""
RESERVED = 0.1
"""Share of the GPU's memory that is left free: workspaces of kernels, fragments, the driver."""
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A session that cannot be heard in one pass."""

    session: str
    duration: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What one length of recording costs."""

    percentile: int
    """Of the lengths of the sessions."""
    tokens: Tokens
    cache: dict[str, int]
    """Bytes of keys and values of one recording, by precision."""
    inference: Memory
    """Of one recording."""
    inference_batch: int | None
    """Recordings that fit the GPU at a time; None where none was named."""


@dataclass(frozen=True, kw_only=True)
class StageFit:
    """What one stage of training costs, with batches as it makes them."""

    name: str
    trained: int
    """Weights that it trains; the others have no gradient and no optimizer state."""
    seconds: float
    """Of a row: the longest window that the sessions give."""
    rows: int
    """Of a batch, by the seconds and tokens that the stage allows."""
    memory: Memory
    """Of such a batch."""
    rows_that_fit: int | None
    """Rows that the GPU holds; None where none was named."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Everything that `talkover plan` says."""

    sessions: int
    hours: float
    parameters: int
    precision: Precision
    context: int | None
    """Positions that the language model has."""
    gpu_memory: float | None
    """GiB."""
    tokens: tuple[Tokens, ...]
    fits: tuple[Fit, ...]
    stages: tuple[StageFit, ...]
    refused: tuple[Refused, ...]
    skipped: dict[str, str]
    """Sessions that cannot be counted, and why."""
    longest: float | None
    """Seconds of a session as dense as the densest fifth that still fits the context."""


def plan_manifests(
    manifests: Sequence[Path | str],
    preset: Preset,
    *,
    gpu_memory: float | None = None,
    precision: Precision = "bf16",
) -> Planned:
    """Plan a preset on the sessions of some manifests; see `Planned`.

    Args:
        manifests: Folders or files with ``cuts.jsonl``.
        preset: What would be trained or used.
        gpu_memory: GiB of the GPU; None leaves out what fits.
        precision: Of weights and cache at inference, and of the arithmetic in training.

    Raises:
        ConfigurationError: If there is no session with text, or the parts do not fit each other.
    """
    if gpu_memory is not None and not gpu_memory > 0:
        raise ConfigurationError(f"gpu_memory must be above 0 GiB, got {gpu_memory}")
    sessions = [session for manifest in manifests for session in read_sessions(manifest)]
    return plan_sessions(sessions, preset, gpu_memory=gpu_memory, precision=precision)


def plan_sessions(
    sessions: Sequence[Session],
    preset: Preset,
    *,
    gpu_memory: float | None = None,
    precision: Precision = "bf16",
) -> Planned:
    """See `plan_manifests`."""
    parts, codec = completed(preset.parts, sessions)
    shapes = Shapes(parts, precision)
    counted, skipped = _counted(sessions, shapes, codec)
    if not counted:
        shown = next(iter(skipped.items()), ("", "there is none"))
        raise ConfigurationError(f"no session can be planned: {shown[0]}: {shown[1]}")
    context = parts.lm.config.get("max_position_embeddings")
    planner = _Planner(shapes, gpu_memory)
    longest = _at(counted, 100)
    return Planned(
        sessions=len(counted),
        hours=sum(t.duration for t in counted) / 3600,
        parameters=shapes.num_weights,
        precision=precision,
        context=context,
        gpu_memory=gpu_memory,
        tokens=tuple(counted),
        fits=tuple(planner.fit(p, _at(counted, p)) for p in PERCENTILES),
        stages=tuple(
            planner.stage(stage, longest, _window_of(stage, preset.training, counted))
            for stage in preset.training.stages
        ),
        refused=tuple(_refusals(counted, parts, context)),
        skipped=skipped,
        longest=longest_session(counted, context),
    )


def completed(parts: Parts, sessions: Sequence[Session]) -> tuple[Parts, SatsCodec]:
    """The parts as they are built for these sessions, and the codec.

    Raises:
        ConfigurationError: If no session has any text.
    """
    with_text = [s for s in sessions if all(row.text is not None for row in s.supervisions)]
    found = survey(with_text, parts.codec)
    if not found.words:
        raise ConfigurationError("no session has any text: nothing to plan")
    codec = build_codec(parts.codec, found.texts)
    units = tuple(sorted({i for word in found.words for i in codec.encode_text(word)}))
    parts = resolved_parts(parts)
    tables = Tables(
        units=units,
        speakers=tuple(codec.speaker_ids(parts.max_speakers)) if parts.cues.speakers else (),
        times=tuple(codec.time_ids()),
        digits=codec.digit_ids(),
        voices=found.speakers,
    )
    return replace(parts, lm=with_vocabulary(parts.lm, codec), tables=tables), codec


def longest_session(counted: Sequence[Tokens], context: int | None) -> float | None:
    """Seconds of a session that fits the context, as dense in text as the densest fifth here."""
    if context is None:
        return None
    rates = [(t.positions - t.prompt) / t.duration for t in counted if t.duration > 0]
    prompt = max(t.prompt for t in counted)
    rate = float(np.percentile(rates, 80))
    return min(LONGEST, max(0.0, (context - prompt) / rate))


def _counted(
    sessions: Iterable[Session], shapes: Shapes, codec: SatsCodec
) -> tuple[list[Tokens], dict[str, str]]:
    vocabulary = vocabulary_of(codec)
    counted: list[Tokens] = []
    skipped: dict[str, str] = {}
    for session in sessions:
        try:
            counted.append(count_tokens(session, shapes.model, codec, vocabulary))
        except (UnknownCharacter, ConfigurationError) as error:
            skipped[session.id] = str(error)
    return counted, skipped


def _refusals(counted: Sequence[Tokens], parts: Parts, context: int | None) -> Iterable[Refused]:
    last = parts.codec.atoms.max_time
    for tokens in counted:
        reasons = []
        if context is not None and tokens.positions > context:
            reasons.append(f"{tokens.parts()}, more than the context of {context:,}")
        if last and tokens.duration > last:
            reasons.append(f"times beyond {last:g} s have no token (codec.atoms.max_time)")
        try:
            check_attention(parts, tokens.positions)
        except ConfigurationError:
            reasons.append(f"eager attention beyond {LONGEST_EAGER:,} positions")
        if reasons:
            yield Refused(
                session=tokens.session, duration=tokens.duration, reason="; ".join(reasons)
            )


def _window_of(stage: Stage, training: TrainConfig, counted: Sequence[Tokens]) -> float:
    """Seconds of the longest row of a stage."""
    if stage.data.concatenate is not None:
        return min(stage.data.concatenate.longest, sum(t.duration for t in counted))
    longest = training.longest if stage.data.windows is None else stage.data.windows[1]
    return min(longest, max(t.duration for t in counted))


def _at(counted: Sequence[Tokens], percentile: int) -> Tokens:
    """The session at a percentile of the lengths."""
    order = sorted(counted, key=lambda t: (t.duration, t.session))
    return order[min(len(order) - 1, int(percentile / 100 * len(order)))]


@dataclass(frozen=True)
class _Planner:
    shapes: Shapes
    gpu_memory: float | None

    def fit(self, percentile: int, tokens: Tokens) -> Fit:
        inference = self.shapes.inference(_load(tokens, 1))
        return Fit(
            percentile=percentile,
            tokens=tokens,
            cache={
                name: cache_bytes(self.shapes.parts, tokens.positions, name)
                for name in ("fp32", "bf16")
            },
            inference=inference,
            inference_batch=self._batch(inference, 1),
        )

    def stage(self, stage: Stage, tokens: Tokens, seconds: float) -> StageFit:
        """What a stage costs on rows of so many seconds, as dense as a session."""
        window = tokens.scaled(seconds)
        rows = int(stage.data.seconds // seconds)
        if stage.data.tokens is not None:
            rows = min(rows, stage.data.tokens // window.positions)
        rows = max(1, rows)
        memory = self.shapes.training(_load(window, rows), stage)
        return StageFit(
            name=stage.name,
            trained=memory.optimizer // (BYTES["fp32"] * (1 + ADAM)),
            seconds=seconds,
            rows=rows,
            memory=memory,
            rows_that_fit=self._batch(memory, rows),
        )

    def _batch(self, memory: Memory, rows: int) -> int | None:
        """Rows that fit: what a batch needs grows with them, weights do not."""
        if self.gpu_memory is None:
            return None
        room = self.gpu_memory * GIB * (1 - RESERVED) - memory.weights - memory.optimizer
        return max(0, int(room * rows / max(1, memory.cache + memory.activations)))


def _load(tokens: Tokens, batch: int) -> Load:
    return Load(
        batch=batch,
        duration=tokens.duration,
        positions=max(2, tokens.positions),
        answer=max(1, tokens.text + tokens.stamps),
    )
