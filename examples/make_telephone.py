"""Make the preset ``telephone`` from published figures of telephone calls; no labels are needed.

    python examples/make_telephone.py [OUT_FILE]

Published, of CALLHOME (Yamashita et al. 2022, arXiv 2204.11232): the shares and the Markov matrix
of turn-hold, turn-switch, interruption and backchannel, the means of the exponential pauses and
gaps, and the parameters of the truncated exponentials of the overlap ratios. Not published there,
and ours: durations of units and backchannels, length of a call, spread between calls. Overlap and
silence of a call follow from the rest and are found by drawing. The same script gives the same
file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkover.simulate.turns import (
    PRESETS,
    Backchannels,
    Origin,
    Quantiles,
    Response,
    Sessions,
    Speakers,
    Spread,
    Transitions,
    TurnModel,
    Units,
)

TYPES = np.array([0.15, 0.21, 0.44, 0.20])
"""Shares of hold, switch, interruption, backchannel."""
MARKOV = np.array(
    [
        [0.26, 0.23, 0.27, 0.24],
        [0.11, 0.38, 0.31, 0.20],
        [0.09, 0.29, 0.33, 0.29],
        [0.31, 0.29, 0.31, 0.09],
    ]
)
"""Chance of each type after each type; a row is the type before."""
PAUSE_MEAN, GAP_MEAN = 0.57, 0.40
"""Seconds; exponential."""
OVERLAP_RATIO, BACKCHANNEL_RATIO = 0.44, 0.67
"""Parameters of the truncated exponentials on [0, 1]."""

UNIT_MEDIAN, UNIT_SIGMA = 1.2, 0.8
"""Seconds, log-normal, mean 1.65 s; ours, of the order of telephone talk."""
BACKCHANNEL_MEDIAN, BACKCHANNEL_SIGMA = 0.5, 0.5
"""Seconds, log-normal; ours: contained units last 0.46 to 0.76 s in six corpora (median)."""
CALL = (120.0, 300.0, 600.0)
"""Shortest, middle and longest call, seconds; ours."""
OVERLAP_DEVIATION, SILENCE_DEVIATION = 0.04, 0.05
"""Between calls; ours."""
JOIN = 0.2
DRAWS = 400_000
LEVELS = (0.0, 0.002, 0.01, 0.02, 0.05, *np.arange(0.1, 0.95, 0.05).round(2).tolist())
PROBABILITIES = (*LEVELS, 0.95, 0.98, 0.99, 0.998, 1.0)


def quantiles(values: NDArray[np.float64]) -> Quantiles:
    """The quantile function of draws; its ends are those at 0.05 and 99.95 %."""
    levels = np.clip(PROBABILITIES, 5e-4, 1 - 5e-4)
    points = np.maximum.accumulate(np.quantile(values, levels).round(4))
    return Quantiles(probabilities=PROBABILITIES, values=tuple(points.tolist()))


def truncated_exponential(
    parameter: float, rng: np.random.Generator, count: int
) -> NDArray[np.float64]:
    """Draws on [0, 1]."""
    return -parameter * np.log1p(-rng.random(count) * (1 - np.exp(-1 / parameter)))


def floor_rows() -> NDArray[np.float64]:
    """Chances of hold, switch, interruption after each, whatever backchannels lie between.

    The floor stays where it is in a backchannel, so what comes next is what comes after it.
    """
    after = MARKOV[3, :3] / MARKOV[3, :3].sum()
    rows = MARKOV[:3, :3] + MARKOV[:3, 3:] * after
    return rows / rows.sum(axis=1, keepdims=True)


def ratios(
    rng: np.random.Generator, rows: NDArray[np.float64], contained: NDArray[np.float64]
) -> tuple[float, float]:
    """Overlap of speech and silence of time that the distributions come to."""
    weights = np.linalg.matrix_power(rows, 50)[0]
    kinds = rng.choice(3, size=DRAWS, p=weights / weights.sum())
    units = rng.lognormal(np.log(UNIT_MEDIAN), UNIT_SIGMA, DRAWS)
    silent = np.where(
        kinds == 0,
        np.maximum(JOIN, rng.exponential(PAUSE_MEAN, DRAWS)),
        np.where(kinds == 1, rng.exponential(GAP_MEAN, DRAWS), 0.0),
    )
    shorter = np.minimum(units, np.roll(units, 1))
    cut = np.where(kinds == 2, truncated_exponential(OVERLAP_RATIO, rng, DRAWS) * shorter, 0.0)
    per_unit = TYPES[3] / (1 - TYPES[3])
    overlap = cut.sum() + per_unit * DRAWS * contained.mean()
    speech = units.sum() - cut.sum()
    return float(overlap / speech), float(silent.sum() / (speech + silent.sum()))


def telephone() -> TurnModel:
    """The model."""
    rng = np.random.default_rng(0)
    rows = floor_rows()
    units = rng.lognormal(np.log(UNIT_MEDIAN), UNIT_SIGMA, DRAWS)
    overlaps = truncated_exponential(OVERLAP_RATIO, rng, DRAWS) * np.minimum(
        units, np.roll(units, 1)
    )
    in_overlap = TYPES[2] / (TYPES[1] + TYPES[2])
    gaps = rng.exponential(GAP_MEAN, DRAWS)
    offsets = np.where(rng.random(DRAWS) < in_overlap, -overlaps, gaps)
    backchannels = rng.lognormal(np.log(BACKCHANNEL_MEDIAN), BACKCHANNEL_SIGMA, DRAWS)
    contained = truncated_exponential(BACKCHANNEL_RATIO, rng, DRAWS) * units
    short = np.minimum(backchannels, np.maximum(contained, 0.1))
    per_unit = TYPES[3] / (1 - TYPES[3])
    rate = round(float(per_unit / units.mean()), 4)
    overlap, silence = ratios(rng, rows, short)
    plain = quantiles(units)
    return TurnModel(
        name="telephone",
        origin=Origin(
            source="published figures of CALLHOME calls (Yamashita et al. 2022, arXiv 2204.11232); "
            "unit durations and session effects are assumptions of examples/make_telephone.py",
            licence="published figures",
            attribution="Yamashita et al. 2022, Improving the naturalness of simulated "
            "conversations for end-to-end neural diarization",
            url="https://arxiv.org/abs/2204.11232",
            sessions=0,
            hours=0.0,
            join=JOIN,
            resolution=0.0,
            pauses="telephone",
            warnings=("made from published means, not fitted on labels",),
        ),
        transitions=Transitions(
            hold=tuple(rows[0].round(4)),
            switch=tuple(rows[1].round(4)),
            interruption=tuple(rows[2].round(4)),
        ),
        offsets=quantiles(offsets),
        memory=0.0,
        pauses=quantiles(np.maximum(JOIN, rng.exponential(PAUSE_MEAN, DRAWS))),
        units=Units(
            hold=plain,
            switch=plain,
            beyond=quantiles(np.maximum(units - overlaps, 0.02)),
            backchannel=quantiles(short),
        ),
        backchannels=Backchannels(
            edges=(0.0, 600.0),
            per_second=(rate,),
            per_unit=round(float(per_unit), 4),
            onset=quantiles(rng.random(DRAWS)),
        ),
        speakers=Speakers(counts={2: 1.0}, evenness=20.0, returns=0.0),
        sessions=Sessions(
            length=Quantiles(probabilities=(0.0, 0.5, 1.0), values=CALL),
            overlap=Spread(mean=round(overlap, 4), deviation=OVERLAP_DEVIATION),
            silence=Spread(mean=round(silence, 4), deviation=SILENCE_DEVIATION),
            response=Response(
                backchannels=1.0, interruptions=1.0, overlaps=1.0, gaps=1.0, pauses=1.0
            ),
        ),
    )


if __name__ == "__main__":
    telephone().save(Path(sys.argv[1]) if len(sys.argv) > 1 else PRESETS["telephone"])
