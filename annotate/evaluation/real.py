"""Recordings that people labelled: figures of speech, and whether a backend has met them before.

A figure on data that a model was trained on says little. So each branch's figure is marked:
``unseen``, ``seen in training``, or ``not known`` where nobody says what it was trained on.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from talkover.annotate.evaluation.figures import OF_SPEECH, pair_of
from talkover.annotate.evaluation.sides import Annotated, hypothesis_side
from talkover.annotate.models.files import MODEL_KINDS, is_shipped, read_description
from talkover.manifests.audio import file_sha256, probe
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.labels import read_labels
from talkover.manifests.schema import Claim
from talkover.manifests.score.cuts import count_crossed
from talkover.manifests.score.sides import Side, make_side
from talkover.manifests.score.tally import Tally
from talkover.manifests.segments import Segment

Exposure = Literal["unseen", "seen in training", "not known"]

TRAINED_ON: Mapping[str, frozenset[str]] = {
    "pyannote": frozenset(
        "aishell4 alimeeting ami dihard ego4d msdwild ramc repere voxconverse".split()
    ),
}
"""Lower-case names of the corpora that the models behind a backend's name were trained on:
pyannote's model cards (speaker-diarization-3.1, community-1), read 2026-11."""


@dataclass(frozen=True, kw_only=True)
class RealSet:
    """Recordings with labels by people."""

    name: str
    corpus: str
    """What they come from, such as ``ami``: what a model may have been trained on."""
    audio: tuple[Path, ...]
    """Their stems are the sessions of the labels."""
    labels: Path
    """Any label file: who spoke when."""
    words: Path | None = None
    """Any label file with words and their times."""


def real_set(
    audio: Path,
    labels: Path,
    *,
    pattern: str = "*",
    words: Path | None = None,
    corpus: str | None = None,
) -> RealSet:
    """Recordings of a folder that have labels.

    Args:
        audio: The folder.
        labels: Who spoke when; sessions are the files' names without their ending.
        pattern: Only files of such names.
        words: Words with times, of the same sessions.
        corpus: What they come from; default the pattern's letters before its first other sign,
            or the folder's name.

    Raises:
        ConfigurationError: If no file has labels.
    """
    sessions = read_labels(labels)
    files = sorted(p for p in audio.glob(pattern) if p.is_file() and p.stem in sessions)
    if not files:
        raise ConfigurationError(f"{audio}: no file like {pattern} has labels in {labels}")
    letters = "".join(c if c.isalnum() else " " for c in pattern).split()
    name = corpus or (letters[0] if letters and pattern[0].isalnum() else audio.resolve().name)
    return RealSet(name=name, corpus=name, audio=tuple(files), labels=labels, words=words)


def pyannote_sample() -> RealSet | None:
    """The telephone call that comes with pyannote.audio, which is not imported; None without it."""
    try:
        spec = importlib.util.find_spec("pyannote.audio")
    except ModuleNotFoundError:
        return None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "sample"
        if (folder / "sample.wav").is_file() and (folder / "sample.rttm").is_file():
            audio = (folder / "sample.wav",)
            return RealSet(
                name="pyannote's sample",
                corpus="pyannote's sample",
                audio=audio,
                labels=folder / "sample.rttm",
            )
    return None


def score_real(recordings: RealSet, annotated: Annotated) -> dict[str, dict[str, Tally]]:
    """Figures of speech of each recording; one that was not annotated is missed as a whole.

    Args:
        recordings: Audio and labels.
        annotated: What was said.
    """
    labels = read_labels(recordings.labels)
    words = {} if recordings.words is None else read_labels(recordings.words)
    found = {}
    for path in recordings.audio:
        name = path.stem
        session = annotated.sessions.get(file_sha256(path))
        said = None if session is None else hypothesis_side(annotated, session)
        truth = make_side(labels.get(name, []), duration=_duration(path))
        pair = pair_of(name, truth, make_side([], failed=True) if said is None else said)
        tallies = {figure: compute(pair) for figure, compute in OF_SPEECH.items()}
        tallies["cut_words"] = _words_cut(words.get(name, []), said)
        found[name] = tallies
    return found


def exposure(claim: Claim, corpus: str) -> Exposure:
    """Whether the model behind a claim was trained on a corpus."""
    if claim.weights_sha256 is None and not claim.backend.startswith(tuple(TRAINED_ON)):
        return "unseen"  # rules and no weights: nothing was learnt from anything
    for backend, corpora in TRAINED_ON.items():
        if claim.backend.startswith(backend):
            return "seen in training" if corpus.lower() in corpora else "not known"
    return "unseen" if _is_ours(claim) else "not known"


def _is_ours(claim: Claim) -> bool:
    """Whether the weights came with talkover: they were trained on simulated sessions alone."""
    own = [read_description(None, kind).weights_sha256 for kind in MODEL_KINDS if is_shipped(kind)]
    hashes = [one for one in own if one is not None]
    pairs = [hashlib.sha256(f"{a}{b}".encode()).hexdigest() for a in hashes for b in hashes]
    return claim.weights_sha256 in (*hashes, *pairs)  # of two models, see `model_info`


def _words_cut(words: Sequence[Segment], said: Side | None) -> Tally:
    spans = [(w.start, w.end) for s in words for w in s.words or (s,)]
    cuts = () if said is None or said.cuts is None else said.cuts
    return Tally(errors=count_crossed(cuts, spans), length=len(spans))


def _duration(path: Path) -> float:
    info = probe(path)
    return info.num_samples / info.sampling_rate
