"""What a run came to: asked against got, over all its sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from talkover.manifests.schema import Asked, Session, Statistics
from talkover.simulate.acoustic_summary import AcousticRows, AcousticSummary
from talkover.simulate.conversation import SCRIPTED
from talkover.simulate.corpus import Rejection
from talkover.simulate.figures import Figure

__all__ = ["Figure", "Summary", "summarise"]

TARGET_TOLERANCE = 0.02
"""Largest |got - asked| of the mean overlap or silence that `--strict` lets pass (2 points)."""
SNR_TOLERANCE_DB = 0.3
"""Largest |got - asked| of a session's SNR that `--strict` lets pass."""
SHARE_TOLERANCE = 0.05
"""Largest |got - asked| of one speaker's share in one session that `--strict` lets pass."""
TARGETS = ("overlap", "silence", "speakers", "most at one time", "talk shares", "snr")
UNMATCHED_SHOWN = 20
"""Lines that the report shows; all are in the sessions."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Totals and targets of a run."""

    sessions: int
    hours: float
    speakers: int
    turns: int
    supervisions: int
    without_text: int
    words: int
    overlap: tuple[float, ...]
    """Of speech, one per session."""
    silence: tuple[float, ...]
    """Of time, one per session."""
    speakers_per_session: dict[int, int]
    figures: tuple[Figure, ...]
    t60: tuple[tuple[float, float], ...]
    """(asked, measured) seconds, one per session with a shoebox room."""
    drr_db: tuple[float, ...]
    peak_dbfs: tuple[float, ...]
    clipped_samples: int
    utterance_uses: dict[int, int]
    """Times used → number of utterances."""
    speaker_sessions: dict[int, int]
    """Number of sessions → number of speakers."""
    roles: dict[str, int]
    acoustics: AcousticSummary = field(default_factory=AcousticSummary)
    rejected: dict[str, int] = field(default_factory=dict)
    """Reason → number of utterances."""
    shortfalls: tuple[str, ...] = ()
    """What the corpus did not allow and was made less of, one line each."""
    script_lines: tuple[int, int] = (0, 0)
    """Lines of scripts that were said, and that no utterance was found for."""
    unmatched_lines: tuple[str, ...] = ()
    """The first of the latter."""

    @property
    def breaches(self) -> list[str]:
        """One line for each target that was missed, or was reduced for want of utterances."""
        missed = [figure.breach for figure in self.figures if not figure.holds]
        return [*missed, *self.shortfalls]

    def plain(self) -> dict[str, object]:
        """For `--json`: totals, and mean asked and got of each target."""
        return {
            "sessions": self.sessions,
            "hours": round(self.hours, 4),
            "speakers": self.speakers,
            "turns": self.turns,
            "supervisions": self.supervisions,
            "supervisions_without_text": self.without_text,
            "words": self.words,
            "overlap_of_speech": _mean(self.overlap),
            "silence_of_time": _mean(self.silence),
            "targets": {
                f.name: {
                    "asked": _mean(f.asked),
                    "got": _mean(f.got),
                    "deviation": round(f.deviation, 4),
                    "holds": f.holds,
                }
                for f in self.figures
            },
            "rejected": self.rejected,
            "shortfalls": list(self.shortfalls),
            "script_lines": {"said": self.script_lines[0], "unmatched": self.script_lines[1]},
        }


def summarise(
    sessions: Iterable[Session],
    rejected: Sequence[Rejection] = (),
    *,
    shortfalls: Sequence[str] = (),
) -> Summary:
    """Figures of a run in one pass; memory grows by a few numbers a session.

    Args:
        sessions: Of the run.
        rejected: Utterances that could not be used.
        shortfalls: What the corpus did not allow; see `talkover.simulate.planner`.
    """
    rows = _Rows()
    for session in sessions:
        rows.add(session)
    return replace(rows.summary(rejected), shortfalls=tuple(shortfalls))


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


class _Rows:
    """Collects what `Summary` needs, session by session."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.counts: Counter[str] = Counter()
        self.roles: Counter[str] = Counter()
        self.num_speakers: Counter[int] = Counter()
        self.utterances: Counter[str] = Counter()
        self.speakers: Counter[str] = Counter()
        self.overlap: list[float] = []
        self.silence: list[float] = []
        self.asked: dict[str, list[float]] = {name: [] for name in TARGETS}
        self.got: dict[str, list[float]] = {name: [] for name in TARGETS}
        self.said_lines = 0
        self.num_unmatched = 0
        self.unmatched: list[str] = []
        self.given: set[str] = {"snr"}
        self.t60: list[tuple[float, float]] = []
        self.drr: list[float] = []
        self.peak: list[float] = []
        self.acoustics = AcousticRows()

    def add(self, session: Session) -> None:
        self.seconds += session.audio.duration
        self.counts["sessions"] += 1
        self.counts["turns"] += len({s.turn_id for s in session.supervisions})
        self.counts["supervisions"] += len(session.supervisions)
        self.counts["without_text"] += sum(s.text is None for s in session.supervisions)
        self.counts["words"] += sum(len((s.text or "").split()) for s in session.supervisions)
        self.roles.update(s.role for s in session.supervisions)
        self.utterances.update(
            {s.source.utterance_id for s in session.supervisions if s.source is not None}
        )
        people = {s.speaker for s in session.supervisions}
        self.speakers.update(people)
        self.num_speakers[len(people)] += 1
        self._targets(session)
        self.acoustics.add(session)
        for noise in session.noise:
            self.asked["snr"].append(noise.snr_db_asked)
            self.got["snr"].append(noise.snr_db_measured)
        if session.mix is not None:
            self.peak.append(session.mix.peak_dbfs)
            self.counts["clipped"] += session.mix.clipped_samples
        if session.scene is not None:
            room = session.scene.room
            if room.t60_asked is not None and room.t60_measured is not None:
                self.t60.append((room.t60_asked, room.t60_measured))
            self.drr += [seat.drr_db for seat in session.scene.seats if seat.drr_db is not None]

    def _targets(self, session: Session) -> None:
        if session.statistics is None:
            return
        got = {
            "overlap": session.statistics.overlap_of_speech,
            "silence": session.statistics.silence_of_time,
        }
        self.overlap.append(got["overlap"])
        self.silence.append(got["silence"])
        if session.asked is not None:
            self._asked(session.asked, session.statistics)
            if session.asked.text_order in SCRIPTED:
                self._script(session)
            asked = {
                "overlap": session.asked.overlap_of_speech,
                "silence": session.asked.silence_of_time,
            }
            turns = session.provenance.configuration.get("turns")
            for name, value in asked.items():
                if isinstance(turns, dict) and turns.get(name) is not None:
                    self.given.add(name)
                if value is not None:
                    self.asked[name].append(value)
                    self.got[name].append(got[name])

    def _asked(self, asked: Asked, got: Statistics) -> None:
        """Targets that are held session by session."""
        if asked.num_speakers is not None:
            self._pair("speakers", asked.num_speakers, got.num_speakers)
        if asked.max_concurrent is not None:  # fewer at one time is what was asked, too
            self._pair(
                "most at one time",
                asked.max_concurrent,
                max(asked.max_concurrent, got.max_concurrent),
            )
        for name, share in (asked.talk_shares or {}).items():
            self._pair("talk shares", share, got.talk_shares.get(name, 0.0))

    def _pair(self, name: str, asked: float, got: float) -> None:
        self.given.add(name)
        self.asked[name].append(asked)
        self.got[name].append(got)

    def _script(self, session: Session) -> None:
        assert session.asked is not None
        self.said_lines += len(
            {(s.turn_id, s.source and s.source.utterance_id) for s in session.supervisions}
        )
        self.num_unmatched += len(session.asked.unmatched_lines)
        room = UNMATCHED_SHOWN - len(self.unmatched)
        self.unmatched += [f"{session.id}: {line}" for line in session.asked.unmatched_lines[:room]]

    def summary(self, rejected: Sequence[Rejection]) -> Summary:
        def figure(name: str, unit: str, tolerance: float, of_means: bool) -> Figure:
            return Figure(
                name=name,
                unit=unit,
                asked=tuple(self.asked[name]),
                got=tuple(self.got[name]),
                tolerance=tolerance,
                of_means=of_means,
                is_drawn=name not in self.given,
            )

        return Summary(
            sessions=self.counts["sessions"],
            hours=self.seconds / 3600,
            speakers=len(self.speakers),
            turns=self.counts["turns"],
            supervisions=self.counts["supervisions"],
            without_text=self.counts["without_text"],
            words=self.counts["words"],
            overlap=tuple(self.overlap),
            silence=tuple(self.silence),
            speakers_per_session=dict(sorted(self.num_speakers.items())),
            figures=(
                figure("overlap", "of speech", TARGET_TOLERANCE, True),
                figure("silence", "of time", TARGET_TOLERANCE, True),
                figure("speakers", "of a session", 0.0, False),
                figure("most at one time", "speakers", 0.0, False),
                figure("talk shares", "of all speech", SHARE_TOLERANCE, False),
                figure("snr", "dB", SNR_TOLERANCE_DB, False),
                *self.acoustics.figures(),
            ),
            script_lines=(self.said_lines, self.num_unmatched),
            unmatched_lines=tuple(self.unmatched),
            acoustics=self.acoustics.summary(),
            t60=tuple(self.t60),
            drr_db=tuple(self.drr),
            peak_dbfs=tuple(self.peak),
            clipped_samples=self.counts["clipped"],
            utterance_uses=dict(sorted(Counter(self.utterances.values()).items())),
            speaker_sessions=dict(sorted(Counter(self.speakers.values()).items())),
            roles=dict(sorted(self.roles.items())),
            rejected=dict(sorted(Counter(r.reason for r in rejected).items())),
        )
