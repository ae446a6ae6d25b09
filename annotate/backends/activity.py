"""What is heard: curves of speech, music, noise and silence, and of sound events.

Labels may coincide: singing is speech and music, talk over a film is speech and music and noise.
Later branches read the curves: music its zones, events theirs. The default asks talkover's tagger;
the other one needs no model, knows nothing of music, and serves where the weights are missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from talkover.annotate.activity_spans import Hysteresis, active_stretches
from talkover.annotate.backends.base import (
    Backend,
    BackendError,
    BackendInfo,
    BranchResult,
    Kind,
)
from talkover.annotate.backends.shipped import load_model, model_info, models_available
from talkover.annotate.events import Curve
from talkover.annotate.levels import frame_levels, noise_floor
from talkover.annotate.media import RATE, DecodedAudio

VERSION = "2"
LABELS = ("speech", "music", "noise", "silence")
SOUND = "sound."
"""Before the class of a sound event, in the name of its curve."""
ANY_SOUND = "any_sound"
"""Curve of sound events of whatever kind, which a tagger may have."""
EDGES = ("sound_onset", "sound_offset")
"""Curves of where sound events begin and end, which a tagger may have."""
CLAIMS = "claims"
"""Figure: how sound events are chosen, as `talkover.annotate.sounds.claims.Scorer` takes it."""
BLOCK_SECONDS = 60.0
"""Seconds that the tagger hears at a time, besides what is around them."""
USUAL = Hysteresis()
"""Rule of a curve for which nobody gave one."""


class ActivityTagger(Protocol):
    """Gives a probability for each class; `talkover.annotate.models.tagger` has one."""

    @property
    def hop_samples(self) -> int:
        """Samples that a value stands for."""
        ...

    @property
    def halo_s(self) -> float:
        """Seconds on both sides that a stretch needs to be heard as in the whole."""
        ...

    @property
    def activities(self) -> Sequence[str]:
        """Names among `LABELS`."""
        ...

    @property
    def events(self) -> Sequence[str]:
        """Classes of sound events."""
        ...

    @property
    def thresholds(self) -> Mapping[str, Any]:
        """Of each curve: ``onset``, ``offset``, ``shortest_s`` and ``gap_s``."""
        ...

    def run(self, samples: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Probabilities of each class, one a hop."""
        ...


class TaggerActivity:
    """talkover's tagger.

    Args:
        tagger: Folder of a tagger, or a loaded one; None for the one that comes with talkover.
    """

    def __init__(self, tagger: Any = None) -> None:
        """Import nothing heavy yet."""
        self._source = tagger
        self._tagger: ActivityTagger | None = None

    def info(self) -> BackendInfo:
        """The tagger's."""
        return model_info("talkover-activity", VERSION, {"tagger": self._source})

    def available(self) -> tuple[bool, str]:
        """Needs PyTorch and weights."""
        return models_available({"tagger": self._source})

    def load(self) -> None:
        """Load the model."""
        self._tagger = load_model("tagger", self._source)

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """All curves; figures ``zones``, ``rules``, ``<label>_share`` and perhaps ``claims``.

        Raises:
            BackendError: If the model is not loaded.
        """
        if self._tagger is None:
            raise BackendError("the activity tagger was not loaded")
        tagger = self._tagger
        curves = tagged(audio, tagger)
        rules = {}
        for name in curves:
            given = tagger.thresholds.get(name.removeprefix(SOUND))
            rules[name] = USUAL if given is None else _rule(given)
        result = activity_result(self.info(), curves, rules, audio.num_samples)
        claims = getattr(tagger, "claims", None)
        return (
            result
            if claims is None
            else replace(result, figures={**result.figures, CLAIMS: dict(claims)})
        )


def tagged(audio: DecodedAudio, tagger: ActivityTagger) -> dict[str, Curve]:
    """Curves of all classes, heard in blocks that leave no trace."""
    hop = tagger.hop_samples
    halo = math.ceil(tagger.halo_s * RATE / hop)
    size = max(1, round(BLOCK_SECONDS * RATE / hop))
    names = {name: name for name in tagger.activities}
    names |= {name: SOUND + name for name in tagger.events}
    if (any_sound := getattr(tagger, "any_sound", None)) is not None:
        names |= {name: name for name in (any_sound, *getattr(tagger, "edges", ()))}
    nothing = np.zeros(0, dtype=np.float32)
    parts: dict[str, list[NDArray[np.float32]]] = {name: [nothing] for name in names}
    for start in range(0, audio.num_samples, size * hop):
        stop = min(start + size * hop, audio.num_samples)
        before = min(halo, start // hop)  # where the recording begins, so does what is heard
        after = min(stop + halo * hop, audio.num_samples)
        heard = tagger.run(audio.read(start - before * hop, after))
        count = -(-(stop - start) // hop)
        for name, found in parts.items():
            found.append(np.clip(heard[name][before : before + count], 0.0, 1.0))
    return {
        curve: Curve(
            name=curve,
            hop=hop,
            values=np.concatenate(parts[name]).astype(np.float32),
        )
        for name, curve in names.items()
    }


class LevelActivity:
    """Silence and sound by level, speech by the voice activity branch; no music.

    Args:
        silent_dbfs: Level under which nothing is heard.
        above_db: Level over the noise floor from which sound that is no speech is more than that
            floor with probability one half.
    """

    HOP = 1600
    """Samples of a value."""
    SLOPE_DB = 3.0

    def __init__(self, silent_dbfs: float = -70.0, above_db: float = 10.0) -> None:
        """Take the values as they are."""
        self._silent, self._above = silent_dbfs, above_db

    def info(self) -> BackendInfo:
        """No weights."""
        return BackendInfo(name="level", version=VERSION, licence="Apache-2.0")

    def available(self) -> tuple[bool, str]:
        """Always."""
        return True, ""

    def load(self) -> None:
        """Nothing to load."""

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """Curves ``speech``, ``noise`` and ``silence``."""
        levels = frame_levels(audio, self.HOP)
        floors = noise_floor(levels, RATE / self.HOP)
        middles = np.arange(len(levels)) * self.HOP + self.HOP // 2
        middles = np.minimum(middles, max(0, audio.num_samples - 1))
        vad = upstream.get("vad")
        speech = np.zeros(len(levels))
        if vad is not None and "speech" in vad.curves:
            speech = vad.curves["speech"].at(middles)
        silence = _logistic((self._silent - levels) / self.SLOPE_DB)
        above = _logistic((levels - floors - self._above) / self.SLOPE_DB)
        values = {
            "speech": speech,
            "noise": above * (1.0 - speech) * (1.0 - silence),
            "silence": silence * (1.0 - speech),
        }
        curves = {
            name: Curve(name=name, hop=self.HOP, values=value.astype(np.float32))
            for name, value in values.items()
        }
        rules = dict.fromkeys(curves, USUAL)
        return activity_result(self.info(), curves, rules, audio.num_samples)


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -50.0, 50.0))))


def activity_result(
    info: BackendInfo,
    curves: Mapping[str, Curve],
    rules: Mapping[str, Hysteresis],
    num_samples: int,
) -> BranchResult:
    """Curves with the zones that they give.

    Args:
        info: Who listened.
        curves: By name.
        rules: By the same names.
        num_samples: Length of the recording.
    """
    figures: dict[str, JsonValue] = {}
    zones: dict[str, JsonValue] = {}
    for name in LABELS:
        if name not in curves:
            continue
        curve = curves[name]
        found = active_stretches(curve.values, curve.hop, num_samples, RATE, rules[name])
        zones[name] = found.tolist()
        covered = int((found[:, 1] - found[:, 0]).sum())
        figures[f"{name}_share"] = round(covered / max(1, num_samples), 6)
    figures["zones"] = zones
    figures["rules"] = {
        name: [rule.onset, rule.offset, rule.shortest, rule.gap] for name, rule in rules.items()
    }
    return BranchResult(backend=info, curves=dict(curves), figures=figures)


def rule_of(activity: BranchResult, name: str) -> Hysteresis:
    """The rule by which an activity branch turns one of its curves into stretches."""
    rules = activity.figures.get("rules")
    given = rules.get(name) if isinstance(rules, dict) else None
    if not isinstance(given, list):
        return USUAL
    onset, offset, shortest, gap = (float(str(value)) for value in given)
    return Hysteresis(onset=onset, offset=offset, shortest=shortest, gap=gap)


def _rule(threshold: Any) -> Hysteresis:
    return Hysteresis(
        onset=float(threshold.onset),
        offset=float(threshold.offset),
        shortest=float(threshold.shortest_s),
        gap=float(threshold.gap_s),
    )


ACTIVITIES: dict[str, type[Backend]] = {"talkover": TaggerActivity, "level": LevelActivity}
"""The built-in backends by name."""
