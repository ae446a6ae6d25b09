"""How alike strangers and enrolled people may sound, and the rule that keeps strangers out.

A trial holds a stretch of somebody against five voices of other people, each enrolled from a
session of their own. A short stretch is less like everybody, the right voice and the wrong ones: it
is judged by a lower threshold, that of endless speech less a share of one over its seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from talkover.annotate.models.voice_net import STRIDE, VoiceNet
from talkover.annotate.training.sessions import HeardSession
from talkover.manifests.score.bootstrap import bootstrap_intervals
from talkover.manifests.score.tally import Tally
from talkover.manifests.seeds import SESSION_OF_CORPUS, generator

FRAMES_PER_SECOND = 100 / STRIDE
LENGTHS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds of speech of a stretch."""
DRAWS = 3
"""Stretches of each length of a voice in a session."""
ENROLLED = 5
"""Known voices in each trial."""
ENROLLED_SECONDS = (6.0, 20.0)
"""Least and most speech of an enrolled voice."""
TRIALS = 20
"""Of each stretch."""
MOST_ACCEPTED = 0.05
"""Share of strangers who may get a name: the bar, which the upper end of the interval must hold."""
SHARES = (0.05, 0.04, 0.03, 0.025, 0.02, 0.015, 0.01, 0.005)
"""Shares on calibration sessions that are tried."""
RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Spoken:
    """A voice in a session."""

    voice: str
    session: str
    stretches: tuple[tuple[float, NDArray[np.float32]], ...]
    """Seconds and embedding."""
    enrolled: NDArray[np.float32] | None
    """Embedding of what would be enrolled; None for too little speech."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trials:
    """Cosines of stretches, one a trial, shape ``[N]`` each."""

    seconds: NDArray[np.float64]
    highest: NDArray[np.float64]
    """To the most similar enrolled voice of somebody else."""
    own: NDArray[np.float64]
    """To the right voice, enrolled from another session; NaN where there is none."""
    people: tuple[str, ...]
    """Who spoke."""


def person_of(voice: str) -> str:
    """The person behind a voice, which may be their voice at another speed.

    >>> person_of("ana-x85")
    'ana'
    """
    return voice.split("-x")[0]


@torch.inference_mode()
def hear_voices(network: VoiceNet, sessions: Sequence[HeardSession]) -> list[Spoken]:
    """Stretches of each voice of each session, from where it is alone.

    Args:
        network: The model.
        sessions: Of voices that it was not trained on.
    """
    found = []
    for number, session in enumerate(sessions):
        frames = session.num_frames // STRIDE
        mels = torch.from_numpy(session.mels[: frames * STRIDE].astype(np.float32))
        features = network.eval().features(mels.T[None])  # [1, C, T]
        solo = session.speaking & (session.speaking.sum(axis=1, keepdims=True) == 1)
        alone = solo[: frames * STRIDE].reshape(frames, STRIDE, -1).all(axis=1)
        for column, voice in enumerate(session.voices):
            own = np.flatnonzero(alone[:, column])
            rng = generator(0, SESSION_OF_CORPUS, f"enrolment/{number}/{voice}")
            least, most = (round(s * FRAMES_PER_SECOND) for s in ENROLLED_SECONDS)
            enrolled = _voice(network, features, own[:most]) if len(own) >= least else None
            stretches = [
                (seconds, _voice(network, features, own[first : first + count]))
                for seconds in LENGTHS
                if (count := round(seconds * FRAMES_PER_SECOND)) <= len(own)
                for first in rng.integers(len(own) - count + 1, size=DRAWS).tolist()
            ]
            name = f"{number}/{session.id}"
            found.append(
                Spoken(voice=voice, session=name, stretches=tuple(stretches), enrolled=enrolled)
            )
    return found


def draw_trials(spoken: Sequence[Spoken]) -> Trials:
    """Each stretch against several fives of other people.

    Args:
        spoken: As `hear_voices` gives them.

    Raises:
        ValueError: If there are not two people to enrol, or nobody has a second of speech.
    """
    profiles = [one for one in spoken if one.enrolled is not None]
    people = sorted({person_of(one.voice) for one in profiles})
    if len(people) < 2 or not any(one.stretches for one in spoken):
        raise ValueError(f"nobody can be tried: {len(people)} people have enough speech to enrol")
    by_person = {p: [one for one in profiles if person_of(one.voice) == p] for p in people}
    rng = generator(0, SESSION_OF_CORPUS, "enrolment/trials")
    rows: list[tuple[float, float, float]] = []
    who: list[str] = []
    for one in spoken:
        person = person_of(one.voice)
        others = [p for p in people if p != person]
        again = [p for p in profiles if p.voice == one.voice and p.session != one.session]
        for seconds, vector in one.stretches:
            for _ in range(TRIALS):
                chosen = rng.permutation(len(others))[:ENROLLED].tolist()
                known = [_one_of(by_person[others[n]], rng) for n in chosen]
                own = float(_one_of(again, rng) @ vector) if again else np.nan
                rows.append((seconds, max(float(k @ vector) for k in known), own))
                who.append(person)
    seconds, highest, own = np.array(rows, dtype=np.float64).T
    return Trials(seconds=seconds, highest=highest, own=own, people=tuple(who))


def safe_rule(trials: Trials) -> dict[str, float]:
    """The rule of the largest of `SHARES` that is safe for other people, too.

    A few people are heard in calibration, and strangers elsewhere are others: the 95 % interval of
    the share, drawn by person, must end under `MOST_ACCEPTED`.

    Args:
        trials: Of people who were not trained on.
    """
    rules = [rule_for(trials, share) for share in SHARES]
    safe = [rule for rule in rules if accepted_interval(trials, rule)[1] <= MOST_ACCEPTED]
    return (safe or rules[-1:])[0]


def accepted_interval(trials: Trials, rule: Mapping[str, float]) -> tuple[float, float]:
    """The 95 % interval of the share of trials in which a stranger gets a name, drawn by person.

    Args:
        trials: Of several people; of one alone nothing is known, and it is from 0 to 1.
        rule: As of `rule_for`.
    """
    accepted = trials.highest >= needed_by(rule, trials.seconds)
    people = np.array(trials.people)
    tallies = {
        str(person): {
            "accepted": Tally(
                errors=float(accepted[people == person].sum()),
                length=float((people == person).sum()),
            )
        }
        for person in np.unique(people)
    }
    return bootstrap_intervals(tallies, RESAMPLES, 0).get("accepted", (0.0, 1.0))


def needed_by(rule: Mapping[str, float], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine that a rule asks of stretches of so many seconds, shape as given."""
    return np.asarray(rule["enrolment"] - rule["enrolment_shortness"] / seconds)


def rule_for(trials: Trials, false_accepts: float) -> dict[str, float]:
    """Thresholds ``enrolment`` and ``enrolment_shortness`` that keep strangers out.

    One over the seconds times the second is what a stretch needs less than the first; both are
    fitted to the thresholds of each length, and the first is then raised or lowered to the share.

    Args:
        trials: Of people who were not trained on.
        false_accepts: Share of trials in which a stranger may get a name.
    """
    lengths = np.unique(trials.seconds)
    levels = [np.quantile(trials.highest[trials.seconds == s], 1 - false_accepts) for s in lengths]
    shortness = 0.0
    if len(lengths) > 1:
        slope = float(np.polyfit(1 / lengths, levels, 1)[0])
        shortness = round(max(0.0, -slope), 4)
    needed = trials.highest + shortness / trials.seconds
    level = float(np.quantile(needed, 1 - false_accepts, method="higher"))
    return {"enrolment": round(level, 4), "enrolment_shortness": shortness}


def shares(trials: Trials, rule: Mapping[str, float]) -> dict[str, float]:
    """Share of trials in which a stranger gets a name, and in which an enrolled person gets theirs.

    Args:
        trials: Of other people than the rule was set on, or the same.
        rule: As of `rule_for`.
    """
    needed = needed_by(rule, trials.seconds)
    there = ~np.isnan(trials.own)
    known = (trials.own[there] >= needed[there]) & (trials.own[there] > trials.highest[there])
    figures = {"accepted_unknown": float((trials.highest >= needed).mean())}
    if there.any():
        figures["recognised_known"] = float(known.mean())
    return {name: round(value, 4) for name, value in figures.items()}


def _voice(
    network: VoiceNet, features: torch.Tensor, own: NDArray[np.int64]
) -> NDArray[np.float32]:
    picked = features[:, :, torch.from_numpy(own)]
    pooled = network.pool(picked, torch.ones(1, 1, len(own)))[0, 0]
    vector: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=0).numpy()
    return vector


def _one_of(voices: Sequence[Spoken], rng: np.random.Generator) -> NDArray[np.float32]:
    chosen = voices[int(rng.integers(len(voices)))].enrolled
    assert chosen is not None
    return chosen
