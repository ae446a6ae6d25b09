"""The threshold of known voices after real diarization, on sessions that nothing else is shown by.

    talkover annotate-eval SESSIONS… --out OUT --kin=-x      # of the calibration set
    python benchmarks/annotate/tune_enrolment.py OUT SESSIONS…

Prints, for each threshold, the share of trials in which a stranger is over it, with its 95 %
interval by person, and the first threshold whose interval ends at 5 %. `annotate-train` sets it on
speech that is cut by the truth; after diarization voices are less pure.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from talkover.annotate.evaluation.sides import read_annotated, read_known
from talkover.annotate.evaluation.voices import dominant_speakers, stretches_alone
from talkover.annotate.models.files import read_description
from talkover.annotate.training.enrolment_trials import (
    MOST_ACCEPTED,
    Trials,
    accepted_interval,
    person_of,
)
from talkover.manifests.score.sessions import side_of_session
from talkover.manifests.score.spans import total

LEVELS = np.arange(0.5, 0.8, 0.01).round(2)
MOST_SECONDS = 60.0
"""Of speech that is heard of a speaker."""


def strangers(out: Path, sessions: list[Path]) -> Trials:
    """Every speaker who was compared to a group in which nobody of theirs is."""
    rows: list[tuple[float, float]] = []
    people: list[str] = []
    known = read_known(sessions)
    for folder in sorted(out.glob("voices/annotated-*")):
        clips = (out / "voices" / "enrolled" / folder.name.partition("-")[2]).glob("*.wav")
        families = {person_of(path.stem) for path in clips}
        said = read_annotated(folder)
        for one in known:
            found = said.sessions.get(one.session.audio.sha256 or "")
            if found is None or found.annotation is None:
                continue
            truth = dominant_speakers(side_of_session(one.session), found)
            local = {s.speaker: s.speaker_local for s in found.supervisions}
            alone = stretches_alone(side_of_session(found))
            seconds = {local.get(n, n): total(spans) for n, spans in alone.items()}
            for voice in found.annotation.recognised:
                speaker = truth.get(voice.speaker_local)
                if speaker is None or voice.similarity == 0.0 or person_of(speaker) in families:
                    continue
                heard = min(MOST_SECONDS, max(1.0, seconds.get(voice.speaker_local, 1.0)))
                rows.append((voice.similarity, heard))
                people.append(person_of(speaker))
    highest, heard_s = np.array(rows, dtype=np.float64).T
    nobody = np.full(len(rows), np.nan)
    return Trials(seconds=heard_s, highest=highest, own=nobody, people=tuple(people))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("sessions", type=Path, nargs="+")
    options = parser.parse_args()
    trials = strangers(options.out, options.sessions)
    shortness = read_description(None, "embedding").settings["thresholds"]["enrolment_shortness"]
    chosen = None
    for level in LEVELS.tolist():
        rule = {"enrolment": level, "enrolment_shortness": float(shortness)}
        low, high = accepted_interval(trials, rule)
        share = (trials.highest >= level - rule["enrolment_shortness"] / trials.seconds).mean()
        chosen = level if chosen is None and high <= MOST_ACCEPTED else chosen
        print(f"{level:.2f}: {share:.4f} of {len(trials.seconds)}, {low:.3f} to {high:.3f}")
    print(f"chosen: {chosen}")


if __name__ == "__main__":
    main()
