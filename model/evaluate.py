"""How good a checkpoint is on labelled sessions: what `talkover evaluate` calls.

The checkpoint hears each session as `talkover transcribe` would (whole, or in pieces that no label
decided), `talkover.manifests.score` scores what it wrote. A session whose audio or answer cannot be
used counts with all its words and speech as missed; a session that has speech without text is
skipped and named, for there is nothing to score against. So every session of the manifests is
either scored or skipped, and that once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from pydantic import JsonValue

from talkover.manifests.audio import read_audio, unusable
from talkover.manifests.errors import AudioError, ConfigurationError, ManifestError
from talkover.manifests.io import read_sessions
from talkover.manifests.lines import cuts_file
from talkover.manifests.schema import Claim, Session
from talkover.manifests.score import ScoreResult, compare, score
from talkover.model.cascade import (
    ORACLE,
    Cascade,
    Diarization,
    oracle_diarization,
    read_diarization,
)
from talkover.model.data.examples import Unusable, Window
from talkover.model.evaluate_registration import SCORED, People, register_people
from talkover.model.evaluate_report import write_report
from talkover.model.evaluate_types import Evaluation, Item, System
from talkover.model.inference.recognize import Recognizer, Recording, load_recognizer
from talkover.model.inference.sessions import BACKEND, annotated_session, claim_of
from talkover.model.inference.spoken import Spoken

TOOL = "talkover evaluate"
MODEL, CASCADE = "model", "cascade"
"""Names of the systems."""
METRICS = (
    "wer",
    "cpwer",
    "tcpwer",
    "orcwer",
    "cer",
    "cpcer",
    "delta_cp",
    "delta_cp_wer",
    "delta_cp_orc_wer",
    "der",
    "jer",
    "aas",
    "unmatched_segments",
    "boundary_f1_200ms",
    "speaker_count",
    "fail_rate",
    "loop_rate",
    "coverage",
)
"""What is scored if nothing else is asked for."""
NEED_MEETEVAL = ("orcwer", "delta_cp_orc_wer")
STRATA = ("speakers", "overlap")
WITHOUT_TEXT = "speech without text"

Advance = Callable[[float], None]
"""Told of each session's seconds when it is done."""


@dataclass(kw_only=True)
class _Heard:
    """What a system said so far."""

    said: dict[str, list[Spoken]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    partial: dict[str, str] = field(default_factory=dict)
    truncated: list[str] = field(default_factory=list)
    seconds: float = 0.0


def evaluate(
    checkpoint: Path | str,
    manifests: Sequence[Path | str],
    out: Path | str | None = None,
    *,
    diarizer: Path | str | None = None,
    metrics: Sequence[str] | None = None,
    strata: Sequence[str] = STRATA,
    tcp_collar: float = 5.0,
    der_collar: float = 0.0,
    normalizer: str = "default",
    bootstrap: int = 1000,
    seed: int = 0,
    batch_size: int = 16,
    device: str = "auto",
    window: float | None = None,
    constrained: bool = True,
    registration: str = "no",
    distractors: int = 0,
    progress: Advance | None = None,
) -> Evaluation:
    """Hear, score and report.

    Args:
        checkpoint: Folder of a trained model.
        manifests: Folders or files with ``cuts.jsonl``.
        out: Folder for figures, page and hypotheses; None writes nothing.
        diarizer: A label file for the cascade, or ``oracle``; None for no cascade.
        metrics: Names; None for `METRICS`.
        strata: Fields by which every figure is split.
        tcp_collar: Seconds on each side of a hypothesis word.
        der_collar: Seconds on each side of a reference boundary that are not scored.
        normalizer: Name with options.
        bootstrap: Resampled corpora of the intervals, 0 for none.
        seed: Of the resampling, and of who is registered.
        batch_size: Pieces that are decoded at a time.
        device: As torch names it, or ``auto``.
        window: Seconds of a piece at most; None for all that the model can hear.
        constrained: Only what the format's grammar allows is written.
        registration: Whose voices the model is given: ``no``, ``match`` for the speakers of each
            session, by the clips of the manifests, ``over`` also for others.
        distractors: How many others, for ``over``.
        progress: Told of each session.

    Raises:
        ConfigurationError: If checkpoint, metric or setting cannot be used.
        ManifestError: If there is no session that can be scored, or two have one id.
    """
    items, skipped = read_items(manifests)
    chosen = metrics_of(metrics, with_names=registration != "no")
    segments = None if diarizer is None else _segments(diarizer, items)
    recognizer = load_recognizer(
        checkpoint, batch_size=batch_size, device=device, window=window, constrained=constrained
    )
    people = register_people(
        items, recognizer.model, registration, distractors, seed, ears=recognizer.ears
    )
    heard = _hear_all(items, recognizer, segments, people, progress)
    claim = claim_of(Path(checkpoint))
    settings: dict[str, JsonValue] = {
        "window": recognizer.window,
        "constrained": constrained,
        "weights_sha256": claim.weights_sha256,
        "format": recognizer.model.parts.codec.format,
        "diarizer": None if diarizer is None else Path(diarizer).name,
        "registration": registration,
        "distractors": distractors,
        "unregistered": people.unregistered,
    }
    references = [item.session for item in items]
    scorer = partial(
        score,
        references,
        metrics=chosen,
        tcp_collar=tcp_collar,
        der_collar=der_collar,
        normalizer=normalizer,
        strata=strata,
        bootstrap=bootstrap,
        seed=seed,
        registered=people.speakers(),
    )
    model, *others = [
        _scored(name, part, references, claim, settings, scorer) for name, part in heard.items()
    ]
    if others:
        model = replace(model, result=compare(model.result, others[0].result))
    evaluation = Evaluation(
        model=model,
        cascade=others[0] if others else None,
        skipped=skipped,
        seconds=sum(part.seconds for part in heard.values()) / len(heard),
        settings=settings,
    )
    if out is not None:
        write_report(evaluation, references, Path(out))
    return evaluation


def _hear_all(
    items: Sequence[Item],
    recognizer: Recognizer,
    segments: Diarization | None,
    people: People,
    progress: Advance | None,
) -> dict[str, _Heard]:
    """What each system hears in all sessions; the model comes first."""
    cascade = None if segments is None else Cascade(recognizer, words_of(items))
    heard = {MODEL: _Heard()} | ({} if cascade is None else {CASCADE: _Heard()})
    for batch, faults in _batches(items, recognizer, people):
        for part in heard.values():
            part.failed |= faults
            part.seconds += sum(len(r.samples) for r in batch) / recognizer.sampling_rate
        _hear(recognizer, batch, heard[MODEL], people)
        if cascade is not None and segments is not None:
            output = cascade.recognize(batch, segments)
            heard[CASCADE].said |= output.said
            heard[CASCADE].failed |= output.faults
        for recording in batch:
            if progress is not None:
                progress(len(recording.samples) / recognizer.sampling_rate)
    return heard


def _scored(
    name: str,
    heard: _Heard,
    references: Sequence[Session],
    claim: Claim,
    settings: Mapping[str, JsonValue],
    scorer: Callable[..., ScoreResult],
) -> System:
    backend = BACKEND if name == MODEL else f"{BACKEND}-{name}"
    claimed = claim.model_copy(update={"backend": backend})
    hypothesis = _hypothesis(references, heard.said, claimed, settings)
    return System(
        name=name,
        hypothesis=hypothesis,
        failed=heard.failed,
        partial=heard.partial,
        truncated=tuple(heard.truncated),
        result=scorer(hypothesis, failed=sorted(heard.failed)),
    )


def metrics_of(metrics: Sequence[str] | None, *, with_names: bool = False) -> list[str]:
    """The metrics that were asked for, or the usual ones that this machine can work out.

    Args:
        metrics: Names; None for the usual ones.
        with_names: Speakers are registered, so the usual ones are also those of names.

    Raises:
        ConfigurationError: If none is left.
    """
    if metrics is not None:
        chosen = [name.strip() for name in metrics if name.strip()]
        if not chosen:
            raise ConfigurationError("metrics must name at least one metric")
        return chosen
    has_meeteval = find_spec("meeteval") is not None
    usual = (*METRICS, *SCORED) if with_names else METRICS
    return [name for name in usual if has_meeteval or name not in NEED_MEETEVAL]


def read_items(manifests: Sequence[Path | str]) -> tuple[list[Item], dict[str, str]]:
    """Sessions that can be scored, in the order of the manifests, and why others cannot.

    Raises:
        ManifestError: If two have one id, or none can be scored.
    """
    items: list[Item] = []
    skipped: dict[str, str] = {}
    seen: dict[str, Path] = {}
    for manifest in map(Path, manifests):
        file = cuts_file(manifest)
        for session in read_sessions(manifest):
            if session.id in seen:
                raise ManifestError(
                    f"session {session.id!r} is in {seen[session.id]} already", path=file
                )
            seen[session.id] = file
            if any(row.text is None for row in session.supervisions):
                skipped[session.id] = WITHOUT_TEXT
            else:
                items.append(Item(session=session, folder=file.parent))
    if not items:
        reason = f"all {len(skipped)} have {WITHOUT_TEXT}" if skipped else "there is none"
        raise ManifestError(
            f"no session can be scored: {reason}", path=manifests[0] if manifests else None
        )
    return items, skipped


def words_of(items: Sequence[Item]) -> set[str]:
    """All words of the references."""
    rows = (row for item in items for row in item.session.supervisions)
    return {word for row in rows for word in (row.text or "").split()}


def _segments(diarizer: Path | str, items: Sequence[Item]) -> Diarization:
    sessions = [item.session for item in items]
    if str(diarizer) == ORACLE:
        return oracle_diarization(sessions)
    return read_diarization(diarizer, sessions)


def _batches(
    items: Sequence[Item], recognizer: Recognizer, people: People
) -> Iterator[tuple[list[Recording], dict[str, str]]]:
    """Recordings that fill a batch, and why others of the same stretch cannot be heard."""
    enough = recognizer.window * recognizer.transcriber.options.batch_size  # seconds
    given = recognizer.transcriber.collator.given
    batch: list[Recording] = []
    faults: dict[str, str] = {}
    seconds = 0.0
    for item in items:
        session = item.session
        try:
            # The first channel, as in training.
            samples = read_audio(
                item.folder / session.audio.path,
                sampling_rate=recognizer.sampling_rate,
                channel=0,
            )
        except AudioError as error:
            faults[session.id] = error.reason
            continue
        if (fault := unusable(samples, recognizer.sampling_rate)) is not None:
            faults[session.id] = fault
            continue
        try:
            vectors = (
                None
                if given is None
                else given.window(item.folder, session, _whole(session), len(samples))
            )
        except Unusable as error:
            faults[session.id] = str(error)
            continue
        batch.append(people.recording(session.id, samples, vectors))
        seconds += len(samples) / recognizer.sampling_rate
        if seconds >= enough:
            yield batch, faults
            batch, faults, seconds = [], {}, 0.0
    yield batch, faults


def _whole(session: Session) -> Window:
    return Window(start_sample=0, num_samples=session.audio.num_samples)


def _hear(
    recognizer: Recognizer, batch: Sequence[Recording], heard: _Heard, people: People
) -> None:
    for answer in recognizer.recognize(batch):
        reason = "; ".join(dict.fromkeys(answer.faults))
        if answer.is_failed:
            heard.failed[answer.id] = reason
            continue
        heard.said[answer.id] = people.named(answer.id, answer.spoken)
        if answer.faults:
            heard.partial[answer.id] = f"{reason} ({len(answer.faults)} of {answer.num_pieces})"
        if answer.num_truncated:
            heard.truncated.append(answer.id)


def _hypothesis(
    references: Sequence[Session],
    said: Mapping[str, Sequence[Spoken]],
    claim: Claim,
    settings: Mapping[str, JsonValue],
) -> tuple[Session, ...]:
    return tuple(
        annotated_session(
            session.id,
            said[session.id],
            session.audio,
            claim,
            tool=TOOL,
            configuration=dict(settings),
            uem=session.uem,
        )
        for session in references
        if session.id in said
    )
