"""Annotate recordings whose truth is known, and score what was said.

::

    OUT/evaluation.json     every figure, with those of each session
        evaluation.md       the same as tables
        annotated/          the simulated sessions, annotated
        voices/             clips of those who were enrolled; the sessions, annotated with each five
        music/  real-N/     pieces of known tempo and recordings labelled by people, annotated
        cache/              results of stages, shared by all of these

Nothing of the truth reaches the annotator: it gets the audio files alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from talkover.annotate.config import AnnotationConfig, BackendChoice
from talkover.annotate.evaluation.figures import score_annotation
from talkover.annotate.evaluation.music import read_pieces, tempos
from talkover.annotate.evaluation.real import RealSet, exposure, pyannote_sample, score_real
from talkover.annotate.evaluation.report import Evaluation, RealScored, to_json, to_markdown
from talkover.annotate.evaluation.sides import (
    Annotated,
    Known,
    read_annotated,
    read_known,
    segment_lengths,
)
from talkover.annotate.evaluation.voices import Kin, Recognition, count_recognised, enrol_groups
from talkover.annotate.run import annotate_files
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.markers import atomic_path
from talkover.manifests.score.bootstrap import bootstrap_intervals
from talkover.manifests.score.tally import Tally

Advance = Callable[[float], None]
OF_SPEECH_KINDS = ("vad", "diarizer")
"""Branches whose training data matter to a DER."""


@dataclass(frozen=True, kw_only=True)
class _Annotator:
    """How everything in one evaluation is annotated."""

    out: Path
    config: AnnotationConfig
    jobs: int
    executor: str
    progress: Advance

    def run(
        self,
        audio: Sequence[Path],
        name: str,
        *,
        config: AnnotationConfig | None = None,
        enrol: Path | None = None,
    ) -> Annotated:
        """Annotate files into a folder, whose results of stages are shared with the others."""
        folder = self.out / name
        annotate_files(
            audio,
            folder,
            config=config or self.config,
            enrol=enrol,
            jobs=self.jobs,
            executor=self.executor,
            cache=self.out / "cache",
            progress=self.progress,
        )
        return read_annotated(folder)


def evaluate_annotator(
    manifests: Sequence[Path | str],
    out: Path | str,
    *,
    config: AnnotationConfig | None = None,
    voices: bool = True,
    kin: str | None = None,
    music: Path | None = None,
    real: Sequence[RealSet] = (),
    sample: bool = True,
    bootstrap: int = 1000,
    seed: int = 0,
    jobs: int = 1,
    executor: str = "processes",
    progress: Advance = lambda seconds: None,
) -> Evaluation:
    """Annotate simulated sessions, pieces of music and real recordings, and score all of it.

    Args:
        manifests: Folders of sessions whose truth is known, simulated or labelled; may be none.
        out: Folder to write.
        config: How to annotate; the defaults if None.
        voices: Also enrol voices, five people at a time, and see who is known again.
        kin: What parts a person's name from a variant's, where one person has several voices, as
            the ``-`` of ``ana-x85``, who is ana at another speed; None if each name is a person.
        music: Table of pieces with the columns ``file`` and ``bpm``.
        real: Recordings labelled by people.
        sample: Also score the call that comes with pyannote.audio, where that is installed.
        bootstrap: Resamples of the intervals; 0 for none.
        seed: Of who is enrolled, and of the resampling.
        jobs: Workers.
        executor: Name of an executor.
        progress: Told of each file's seconds.

    Raises:
        ConfigurationError: If nothing is given to score, or the request cannot work.
        RunError: If not one file could be annotated.
    """
    out = Path(out)
    known = read_known(manifests) if manifests else []
    sets = [*real, *((pyannote_sample(),) if sample else ())]
    recordings = [one for one in sets if one is not None]
    if not (known or music or recordings):
        raise ConfigurationError("nothing to score: give sessions, music or real recordings")
    annotator = _Annotator(
        out=out,
        config=config or AnnotationConfig(),
        jobs=jobs,
        executor=executor,
        progress=progress,
    )
    found = Evaluation(claims={})
    if known:
        found = _simulated(annotator, known, bootstrap=bootstrap, seed=seed)
        if voices:
            recognition = _voices(annotator, known, _kin_by(kin), seed)
            intervals = {**found.intervals, **_voice_intervals(recognition, bootstrap, seed)}
            found = dataclasses.replace(found, voices=recognition, intervals=intervals)
    if music is not None:
        pieces = read_pieces(music)
        said = annotator.run([p.path for p in pieces], "music", config=_music_only(annotator))
        found = dataclasses.replace(found, tempos=tempos(pieces, said))
    scored = list(_real(annotator, recordings))
    claims = dict(found.claims) or {k: c for _, own in scored for k, c in own.claims.items()}
    found = dataclasses.replace(found, real=[one for one, _ in scored], claims=claims)
    _write(out / "evaluation.json", to_json(found))
    _write(out / "evaluation.md", to_markdown(found))
    return found


def _simulated(
    annotator: _Annotator, known: Sequence[Known], *, bootstrap: int, seed: int
) -> Evaluation:
    said = annotator.run([one.audio for one in known], "annotated")
    scored = score_annotation(known, said)
    return Evaluation(
        claims=said.claims,
        simulated=scored,
        intervals=bootstrap_intervals(scored.sessions, bootstrap, seed),
        declared_cuts=said.declared,
        segment_lengths=segment_lengths(annotator.out / "annotated"),
    )


def _voices(
    annotator: _Annotator, known: Sequence[Known], kin: Kin, seed: int
) -> Recognition | None:
    """None where the annotator does not know voices, or nobody can be enrolled."""
    backends = annotator.config.backends
    if backends.embedder.is_off or backends.diarizer.is_off:
        return None
    try:
        groups = enrol_groups(known, annotator.out / "voices" / "enrolled", seed=seed, kin=kin)
    except ConfigurationError:  # such as one session of each voice: there is nothing to try it on
        return None
    found = Recognition(groups=0)
    for enrolled in groups:
        said = annotator.run(
            [one.audio for one in known],
            f"voices/annotated-{enrolled.folder.name}",
            enrol=enrolled.folder,
        )
        found += count_recognised(known, said, enrolled, kin)
    return found


def _kin_by(separator: str | None) -> Kin:
    return str if separator is None else lambda name: name.partition(separator)[0]


def _voice_intervals(
    found: Recognition | None, bootstrap: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Drawn by person: the trials of one person are not independent."""
    strangers = {} if found is None else found.strangers
    tallies = {
        person: {"accepted_unknown": Tally(errors=accepted, length=trials)}
        for person, (trials, accepted) in strangers.items()
    }
    return bootstrap_intervals(tallies, bootstrap, seed)


def _music_only(annotator: _Annotator) -> AnnotationConfig:
    """The branches that tempo needs: a piece has no speakers."""
    off = {kind: BackendChoice() for kind in ("diarizer", "embedder", "events", "quality")}
    backends = dataclasses.replace(annotator.config.backends, **off)
    return dataclasses.replace(annotator.config, backends=backends)


def _real(
    annotator: _Annotator, recordings: Sequence[RealSet]
) -> Iterator[tuple[RealScored, Annotated]]:
    for number, one in enumerate(recordings):
        said = annotator.run(one.audio, f"real-{number}")
        marks = {
            kind: exposure(said.claims[kind], one.corpus)
            for kind in OF_SPEECH_KINDS
            if kind in said.claims
        }
        yield RealScored(name=one.name, sessions=score_real(one, said), exposure=marks), said


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf8")
