"""Every violation of the data contract in a folder: a line with session, field, value and rule.

The manifest is read a line at a time and a bad line does not end it. What concerns one session is
in `talkover.manifests.rules` and `talkover.manifests.audio_rules`; what concerns the file (lines,
ids, the label file beside it) is here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from talkover.manifests.audio_rules import AUDIO_RULES
from talkover.manifests.errors import ManifestError
from talkover.manifests.exports import RTTM
from talkover.manifests.instructions import INSTRUCTIONS_FILE, InstructionRow, check_rows
from talkover.manifests.instructions.rows import rows_by_session
from talkover.manifests.lhotse_form import parse_line, shown
from talkover.manifests.lines import Line, cuts_file, read_lines
from talkover.manifests.rttm_index import RttmIndex
from talkover.manifests.rules import RULES, Fault
from talkover.manifests.schema import Session
from talkover.manifests.segment_lines import SEGMENTS
from talkover.manifests.segment_rules import SessionFacts, segment_faults

RTTM_TOLERANCE = 0.001
"""Seconds; RTTM files usually have three decimals."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One thing that is not as the contract says."""

    rule: str
    """A name from the tables of rules, or ``file``, ``line``, ``json``, ``schema``, …"""
    message: str
    session: str | None = None
    line: int | None = None
    """Of the manifest, from 1."""
    field: str = ""
    value: str = ""
    """What was got, as JSON, shortened."""

    def text(self) -> str:
        """One line for a person."""
        place = self.session or (f"line {self.line}" if self.line is not None else "")
        got = f", got {self.value}" if self.value else ""
        parts = (place, self.field, f"{self.message}{got} [{self.rule}]")
        return ": ".join(part for part in parts if part)

    def json_line(self) -> str:
        """One line for a machine."""
        return json.dumps(asdict(self), ensure_ascii=False)


def validate(path: Path | str, *, check_audio: bool = True) -> Iterator[Violation]:
    """Find every violation of the contract, as the manifest is read.

    Args:
        path: A produced folder, or its ``cuts.jsonl``.
        check_audio: Also look for, decode and hash every audio file.

    Returns:
        Violations in the order of the manifest; none if all is well. A manifest that cannot be
        opened is a violation, too.
    """
    try:
        file = cuts_file(path)
        rttm = RttmIndex.of(file.parent / RTTM)
        asked = rows_by_session(file)
    except ManifestError as error:
        yield Violation(rule="file", message=str(error))
        return
    ids = _Ids()
    try:
        for line in read_lines(file):
            yield from _line_violations(line, ids, rttm, asked, file.parent, check_audio)
    except ManifestError as error:
        yield Violation(rule="file", message=error.reason, line=error.line)
    for name in sorted(rttm.sessions - ids.sessions.keys()):
        yield Violation(rule="rttm", message=f"is in {RTTM} and not in {file.name}", session=name)
    for name in sorted(asked.keys() - ids.sessions.keys()):
        message = f"is in {INSTRUCTIONS_FILE} and not in {file.name}"
        yield Violation(rule="instructions", message=message, session=name)
    yield from _segment_violations(file.parent, ids.annotated)


def _segment_violations(folder: Path, annotated: dict[str, SessionFacts]) -> Iterator[Violation]:
    """What is wrong with ``segments.jsonl``, where there is one or should be."""
    try:
        for line, name, fault in segment_faults(folder, annotated):
            yield Violation(
                rule="segments",
                message=f"{fault.message} ({SEGMENTS})",
                session=name,
                line=line or None,
                field=fault.field,
                value=shown(fault.value),
            )
    except ManifestError as error:
        yield Violation(rule="segments", message=str(error))


class _Ids:
    """Where each id was seen first."""

    def __init__(self) -> None:
        self.sessions: dict[str, int] = {}
        self.supervisions: dict[str, int] = {}
        self.annotated: dict[str, SessionFacts] = {}
        """Of sessions that have, or may have, segments."""

    def faults(self, session: Session, line: int) -> Iterator[Fault]:
        """Ids of the session that were seen before."""
        if (first := self.sessions.setdefault(session.id, line)) != line:
            yield Fault("id", session.id, f"is on line {first} already")
            return  # its supervisions repeat, too
        if session.annotation is not None:
            self.annotated[session.id] = SessionFacts.of(session)
        here: set[str] = set()
        for n, row in enumerate(session.supervisions):
            first = self.supervisions.setdefault(row.id, line)
            if first != line or row.id in here:
                yield Fault(f"supervisions[{n}].id", row.id, f"is on line {first} already")
            here.add(row.id)


def _line_violations(
    line: Line,
    ids: _Ids,
    rttm: RttmIndex,
    asked: Mapping[str, Sequence[InstructionRow]],
    folder: Path,
    check_audio: bool,
) -> Iterator[Violation]:
    if not line.ended:
        yield Violation(
            rule="line",
            message="the last line has no line end, so it may be half a line",
            line=line.number,
        )
    parsed = parse_line(line.text)
    session = parsed.session
    name = session.id if session is not None else _name(line.text)
    for problem in parsed.problems:
        yield Violation(
            rule=problem.rule,
            message=problem.reason,
            session=name,
            line=line.number,
            field=problem.field,
            value=problem.value,
        )
    if session is None:
        if name is not None:
            ids.sessions.setdefault(name, line.number)
        return
    for rule, fault in _faults(session, line.number, ids, rttm, folder, check_audio):
        yield Violation(
            rule=rule,
            message=fault.message,
            session=session.id,
            line=line.number,
            field=fault.field,
            value=shown(fault.value),
        )
    for row, message in check_rows(asked.get(session.id, ()), {session.id: session}):
        yield Violation(
            rule="instructions", message=message, session=session.id, line=line.number, field=row
        )


def _faults(
    session: Session, line: int, ids: _Ids, rttm: RttmIndex, folder: Path, check_audio: bool
) -> Iterator[tuple[str, Fault]]:
    for fault in ids.faults(session, line):
        yield "unique_id", fault
    for name, rule in RULES.items():
        for fault in rule(session):
            yield name, fault
    for fault in _rttm_faults(session, rttm):
        yield "rttm", fault
    if check_audio:
        for name, audio_rule in AUDIO_RULES.items():
            for fault in audio_rule(session, folder):
                yield name, fault


def _rttm_faults(session: Session, rttm: RttmIndex) -> Iterator[Fault]:
    """Where ``labels.rttm`` says something else than the regions."""
    if not rttm.exists:
        return
    try:
        found = sorted((s.speaker, s.start, s.end) for s in rttm.segments(session.id))
    except ManifestError as error:
        yield Fault(RTTM, session.id, str(error))
        return
    regions = sorted((s.speaker, r.start, r.end) for s in session.supervisions for r in s.regions)
    if len(found) != len(regions):
        yield Fault(RTTM, len(found), f"must have {len(regions)} lines, one a region")
        return
    for got, right in zip(found, regions, strict=True):
        off = max(abs(got[1] - right[1]), abs(got[2] - right[2]))
        if got[0] != right[0] or off > RTTM_TOLERANCE:
            yield Fault(RTTM, list(got), f"must be {list(right)}")


def _name(text: str) -> str | None:
    """The id of a line that is not a session, if it has one."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    name = value.get("id") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None
