"""The model that chooses among proposed sound events, fitted on sessions whose truth is known.

Logistic regression (Cox 1958) on standardised figures, with a ridge. The probability from which a
proposal is claimed gives the best F1 on sessions that the model was not fitted on, each of five
parts left out in turn.

Legend: ``P`` proposal, ``F`` figure, ``K`` kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from talkover.annotate.sounds.claims import Claim, Scorer, choose, figures_of, with_squares
from talkover.annotate.sounds.proposals import Proposal, SoundCurves, Values, propose
from talkover.annotate.training.event_scores import (
    EventCounts,
    Spans,
    is_found,
    match_spans,
    total_of,
)

PARTS = 5
RIDGE = 3.0
"""Weight of the squared weights in the loss, over all proposals."""
LEVELS = tuple(round(0.02 * step, 2) for step in range(3, 40))
"""Probabilities from which proposals may be claimed, that are tried."""
LEAST_SPREAD = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Proposed:
    """A session's proposals and what became of them."""

    proposals: Sequence[Proposal]
    figures: Values
    """``[P, F + K]``."""
    right: NDArray[np.bool_]
    """Whether each is found by the rule of event F1, ``[P]``."""
    there: Sequence[Spans]
    """True events of each kind."""


def look_at(curves: SoundCurves, there: Sequence[Spans]) -> Proposed:
    """All proposals of a session.

    Args:
        curves: What was heard.
        there: True events of each kind, in frames.
    """
    proposals = propose(curves)
    right = [any(is_found(one, (p.start, p.end)) for one in there[p.kind]) for p in proposals]
    return Proposed(
        proposals=proposals,
        figures=figures_of(curves, proposals),
        right=np.array(right, dtype=np.bool_),
        there=there,
    )


def fit_scorer(sessions: Sequence[Proposed], kinds: tuple[str, ...]) -> tuple[Scorer, float] | None:
    """The model, and the event F1 of sessions that it was not fitted on.

    Args:
        sessions: Of one tagger.
        kinds: Labels of its sound events.

    Returns:
        None where no proposal, or every one, is right: there is nothing to learn.
    """
    whole = _fitted(sessions, kinds)
    if whole is None:
        return None
    parts = [sessions[number::PARTS] for number in range(PARTS)]
    chances: list[tuple[Proposed, Values]] = []
    for number, part in enumerate(parts):
        others = [s for other, own in enumerate(parts) if other != number for s in own]
        model = _fitted(others, kinds) or whole
        chances += [(session, model.probabilities(session.figures)) for session in part]
    scores = {
        level: total_of(
            counts_of(session.there, choose(session.proposals, found, level))
            for session, found in chances
        ).f1
        for level in LEVELS
    }
    least = max(scores, key=lambda level: scores[level])
    return replace(whole, least=least), scores[least]


def counts_of(there: Sequence[Spans], claims: Sequence[Claim]) -> EventCounts:
    """Events of all kinds, each matched with claims of its own kind.

    Args:
        there: True events of each kind.
        claims: Of any kind.
    """
    return total_of(
        match_spans(real, [(c.start, c.end) for c in claims if c.kind == kind])
        for kind, real in enumerate(there)
    )


def _fitted(sessions: Sequence[Proposed], kinds: tuple[str, ...]) -> Scorer | None:
    figures = with_squares(np.concatenate([session.figures for session in sessions]))
    right = np.concatenate([session.right for session in sessions])
    if len(right) == 0 or right.all() or not right.any():
        return None
    mean, spread = figures.mean(axis=0), np.maximum(figures.std(axis=0), LEAST_SPREAD)
    standard = np.concatenate([(figures - mean) / spread, np.ones((len(figures), 1))], axis=1)

    def loss(weights: Values) -> tuple[float, Values]:
        scores = standard @ weights
        chance = 1 / (1 + np.exp(-scores))
        value = np.logaddexp(0, np.where(right, -scores, scores)).sum()
        ridge = np.append(weights[:-1], 0.0)
        return (
            float(value + RIDGE / 2 * ridge @ ridge),
            standard.T @ (chance - right) + RIDGE * ridge,
        )

    found = minimize(loss, np.zeros(standard.shape[1]), jac=True, method="L-BFGS-B").x
    weights = found[:-1] / spread
    bias = float(found[-1] - weights @ mean)
    return Scorer(kinds=kinds, weights=weights, bias=bias, least=0.5)
