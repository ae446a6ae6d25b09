"""What the language model learns of an answer, token by token: which count, and how near is right.

Shapes: ``B`` batch, ``T`` positions that predict a label, ``V`` vocabulary, ``K`` atoms of times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.serialize.transcript import Tag
from talkover.model.layout import IGNORED
from talkover.model.losses import Loss
from talkover.model.target import ATOM, MERGED_DIGITS, TAGS


@dataclass(frozen=True, kw_only=True)
class AnswerConfig:
    """What counts in the loss ``answer``; the same model may learn by another in each stage.

    Mask and floor are those of "Balancing ASR and diarization" (arXiv 2606.13095); its factor is
    not published, 1 is our choice. There, text counts in ``answer`` and speakers only in
    ``speaker_tags``: leave ``speaker`` out of ``learned`` for that.
    """

    learned: tuple[Tag, ...] = TAGS
    """Tokens that count, by what they are part of."""
    mask: Literal["none", "all", "overlap"] = "none"
    """Leave out words whose loss is above a threshold: none; any word; those of segments in which
    somebody else is heard too. The published model has no labels of overlap and takes any."""
    mask_scale: float = 1.0
    """Threshold in means of the loss of the row's words."""
    mask_floor: float = 2.0
    """Nats; the threshold is never lower."""
    time_sigma: float = 0.0
    """Seconds; times near the right one are right in part, as a Gaussian of this width. DiCoW takes
    0.08 s, TEMPO 0.3 s. 0 learns the exact time."""

    def __post_init__(self) -> None:
        """Check names and ranges."""
        unknown = set(self.learned) - set(TAGS)
        if unknown or not self.learned:
            raise ValueError(f"learned must be of {', '.join(TAGS)}, got {list(self.learned)}")
        if self.mask not in ("none", "all", "overlap"):
            raise ValueError(f"mask must be none, all or overlap, got {self.mask!r}")
        for name in ("mask_scale", "mask_floor", "time_sigma"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")


WHOLE_ANSWER = AnswerConfig()
"""Plain cross-entropy of every token."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What is right at each position that predicts a label, ``[B, T]`` each."""

    ids: Tensor
    """Token ids; `IGNORED` where a row has none."""
    tags: Tensor
    """Place in `TAGS` and 1; 0 where a row has no label."""
    segments: Tensor
    """Index of the turn; -1 for none."""
    overlapped: Tensor
    """Whether somebody else is heard in the turn."""
    steps: Tensor
    """See `talkover.model.target.Target`."""
    places: Tensor
    """See `talkover.model.target.Target`."""

    def are(self, tag: Tag) -> Tensor:
        """Which tokens are part of something."""
        return self.tags == TAGS.index(tag) + 1

    def learned(self, config: AnswerConfig) -> Tensor:
        """Which tokens count in ``answer``."""
        wanted = torch.zeros_like(self.tags, dtype=torch.bool)
        for tag in config.learned:
            wanted |= self.are(tag)
        return wanted & (self.ids != IGNORED)


@dataclass(frozen=True, kw_only=True)
class TimeTable:
    """Token ids of times."""

    atoms: Sequence[int]
    """Of 0 s, of one step, …"""
    figures: Sequence[int]
    """Of the digits 0 to 9."""
    steps_per_second: int


def token_losses(
    logits: Tensor, labels: Labels, table: TimeTable, sigma: float, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of each token in nats, ``[B, T]``; 0 where there is no label.

    Args:
        logits: ``[B, T, V]``.
        labels: What is right.
        table: Tokens of times.
        sigma: Seconds; see `AnswerConfig.time_sigma`.
        smoothing: Share of the probability that is spread over all tokens; not of soft times.
    """
    each = functional.cross_entropy(
        logits.flatten(0, 1).float(),
        labels.ids.flatten(),
        ignore_index=IGNORED,
        reduction="none",
        label_smoothing=smoothing,
    ).view(labels.ids.shape)
    if sigma <= 0:
        return each
    width = sigma * table.steps_per_second
    is_atom, is_digit = labels.places == ATOM, labels.places > ATOM
    if bool(is_atom.any()):
        wanted = atom_targets(labels.steps[is_atom], len(table.atoms), width)
        each = each.masked_scatter(is_atom, _soft(logits[is_atom], table.atoms, wanted))
    if bool(is_digit.any()):
        wanted = digit_targets(
            labels.steps[is_digit], labels.places[is_digit], table.steps_per_second, width
        )
        each = each.masked_scatter(is_digit, _soft(logits[is_digit], table.figures, wanted))
    return each


def _soft(logits: Tensor, ids: Sequence[int], wanted: Tensor) -> Tensor:
    """Cross-entropy to a distribution over some tokens: ``[N, V]``, ``[N, K]`` to ``[N]``."""
    logits = logits.float()
    columns = torch.tensor(ids, device=logits.device)
    return logits.logsumexp(-1) - (wanted * logits[:, columns]).sum(-1)


def atom_targets(steps: Tensor, count: int, width: float) -> Tensor:
    """A Gaussian around each time over the times that have an atom.

    Args:
        steps: ``[N]`` times.
        count: ``K``; atom k is the time of k steps.
        width: Standard deviation in steps.

    Returns:
        ``[N, K]``; rows sum to 1.
    """
    distance = torch.arange(count, device=steps.device) - steps[:, None]
    return (-0.5 * (distance / width) ** 2).softmax(-1)


def digit_targets(steps: Tensor, places: Tensor, steps_per_second: int, width: float) -> Tensor:
    """What each digit of a time may be, given the right digits ahead of it.

    A Gaussian over times, written digit by digit: a digit weighs as much as all times that begin
    with what stands before it and with it. Times of other lengths are left out, so no time begins
    with a 0 that is not all of its whole seconds.

    Args:
        steps: ``[N]`` times.
        places: ``[N]`` steps that one more of the digit would be.
        steps_per_second: How times are written.
        width: Standard deviation in steps.

    Returns:
        ``[N, 10]``; rows sum to 1.
    """
    ahead = steps // (10 * places)
    figures = torch.arange(10, device=steps.device)
    first = (10 * ahead[:, None] + figures) * places[:, None]  # [N, 10]
    edges = torch.stack([first, first + places[:, None]]) - 0.5 - steps[:, None]
    below, above = torch.special.ndtr(edges.double() / width)
    mass = (above - below).clamp(min=0)
    is_leading = (ahead == 0) & (places > steps_per_second)
    mass[:, 0] = torch.where(is_leading, 0.0, mass[:, 0])
    shares: Tensor = mass / mass.sum(-1, keepdim=True)
    return shares.float()


def answer_total(each: Tensor, labels: Labels, config: AnswerConfig) -> Loss:
    """The loss ``answer``: the mean over the tokens of a row that count and are not masked.

    A row weighs as many as it has tokens that count, masked or not. So the weight is known before
    the losses are, and without a mask this is the plain mean over tokens.
    """
    learned = labels.learned(config)
    weight = learned.sum()
    if config.mask == "none":
        return Loss((each * learned).sum(), weight)
    kept = learned & ~masked_words(each, labels, config)
    rows = (each * kept).sum(1) / kept.sum(1).clamp(min=1)
    return Loss((rows * learned.sum(1)).sum(), weight)


@torch.no_grad()
def masked_words(each: Tensor, labels: Labels, config: AnswerConfig) -> Tensor:
    """Words that are left out, ``[B, T]``: above the threshold of their row, and in scope."""
    words = labels.are("word") & labels.learned(config)
    mean = (each * words).sum(1) / words.sum(1).clamp(min=1)
    threshold = (config.mask_scale * mean).clamp(min=config.mask_floor)
    in_scope = words & labels.overlapped if config.mask == "overlap" else words
    return in_scope & (each > threshold[:, None])


def speaker_tag_weights(labels: Labels) -> Tensor:
    """What each token of a speaker's tag weighs, ``[B, T]``: the share of words in its turn.

    A turn's share is its word tokens over those of the row.
    """
    words = labels.are("word") & (labels.segments >= 0)
    places = labels.segments.clamp(min=0)
    lengths = torch.zeros(places.shape, device=places.device).scatter_add(1, places, words.float())
    shares = lengths.gather(1, places) / words.sum(1, keepdim=True).clamp(min=1)
    return torch.where(labels.are("speaker") & (labels.segments >= 0), shares, 0.0)


def speaker_tags_loss(each: Tensor, labels: Labels) -> Loss:
    """Length-aware speaker-ID loss, counted by rows: Σ over turns of share of words · tag's loss.

    From "Balancing ASR and diarization" (arXiv 2606.13095); a tag of several tokens costs their
    sum. That lengths are word tokens and that they are normalised by row is reconstructed.
    """
    weights = speaker_tag_weights(labels)
    return Loss((each * weights).sum(), (weights > 0).any(1).sum())


def require_soft_times(labels: Labels, config: AnswerConfig) -> None:
    """Refuse soft times that cannot be written.

    Raises:
        ConfigurationError: If a token holds several digits of a time.
    """
    if config.time_sigma > 0 and bool((labels.places == MERGED_DIGITS).any()):
        raise ConfigurationError(
            "answer.time_sigma: the tokenizer writes several digits of a time as one token, so "
            "near times share no token: take atoms (codec.atoms.max_time), a tokenizer that "
            "writes each digit alone, or time_sigma 0"
        )
