"""The parts of all recordings, joined into the files at the top of the folder."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from talkover.annotate.flags import NEAR_DUPLICATE
from talkover.annotate.inputs import Rejected
from talkover.annotate.work import Item, Part, read_part
from talkover.manifests.errors import RunError
from talkover.manifests.exports import write_labels
from talkover.manifests.io import read_sessions, session_line
from talkover.manifests.lhotse_form import session_of_line
from talkover.manifests.markers import atomic_path
from talkover.manifests.schema import NearDuplicate, Session
from talkover.manifests.segment_lines import SEGMENTS


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotated:
    """What came of a run."""

    recordings: int
    segments: int
    seconds: float
    """Of the recordings."""
    rejected: tuple[Rejected, ...]
    flags: Mapping[str, int]
    """Recordings with each flag."""
    warnings: int
    """Recordings with a warning."""


def join(out: Path, items: Sequence[Item], rejected: Sequence[Rejected]) -> Annotated:
    """Write ``cuts.jsonl``, ``segments.jsonl``, ``rejected.jsonl`` and the label files.

    Args:
        out: The folder.
        items: All files, in their order.
        rejected: What was found and is no file.

    Raises:
        RunError: If not one recording could be annotated.
    """
    kept, refused = _sorted_out(items)
    rows = [*rejected, *refused]
    duplicates = _duplicates(kept)
    flags: Counter[str] = Counter()
    warned = segments = 0
    seconds = 0.0
    with (
        atomic_path(out / "cuts.jsonl") as cuts,
        atomic_path(out / SEGMENTS) as lines,
        cuts.open("w", encoding="utf8", newline="\n") as cuts_file,
        lines.open("wb") as segments_file,
    ):
        for item, session in _sessions(kept, duplicates):
            cuts_file.write(session_line(session) + "\n")
            with item.segments.open("rb") as source:
                shutil.copyfileobj(source, segments_file)
            assert session.annotation is not None
            flags.update(session.annotation.flags)
            warned += bool(session.annotation.warnings)
            segments += session.annotation.num_segments
            seconds += session.audio.duration
    with atomic_path(out / "rejected.jsonl") as temporary:
        text = "".join(json.dumps(row.row(), ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text(text, encoding="utf8", newline="\n")
    write_labels(out, read_sessions(out / "cuts.jsonl"))
    if not kept:
        shown = "; ".join(f"{r.path}: {r.reason}" for r in rows[:3])
        raise RunError(
            f"none of {len(rows)} files could be annotated ({shown}): see {out / 'rejected.jsonl'}"
        )
    return Annotated(
        recordings=len(kept),
        segments=segments,
        seconds=round(seconds, 3),
        rejected=tuple(rows),
        flags=dict(sorted(flags.items())),
        warnings=warned,
    )


def _sorted_out(items: Sequence[Item]) -> tuple[list[tuple[Item, str]], list[Rejected]]:
    """Items with a session and its id; the same bytes under the same name count once."""
    first: dict[str, str] = {}
    kept: list[tuple[Item, str]] = []
    refused: list[Rejected] = []
    for item in items:
        part = _part(item)
        if part.session is None:
            refused.append(Rejected(path=part.path, reason=part.reason or "", stage=part.stage))
            continue
        name = str(json.loads(part.session)["id"])
        if name in first:
            reason = f"the same name and bytes as {first[name]}"
            refused.append(Rejected(path=part.path, reason=reason, stage="join"))
            continue
        first[name] = part.path
        kept.append((item, name))
    return kept, refused


def _part(item: Item) -> Part:
    part = read_part(item)
    if part is None:
        raise RunError(f"{item.path}: its part is not whole: run the same command again")
    return part


def _duplicates(kept: Sequence[tuple[Item, str]]) -> dict[str, list[NearDuplicate]]:
    """The recordings that each one nearly is."""
    prints: dict[str, str] = {}
    for item, name in kept:
        fingerprint = _part(item).fingerprint
        if fingerprint is not None:
            prints[name] = fingerprint
    found: dict[str, list[NearDuplicate]] = {}
    if not prints:
        return found
    from talkover.annotate.duplicates import near_duplicates

    for pair in near_duplicates(prints):
        similarity = round(min(1.0, max(0.0, pair.similarity)), 6)
        for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
            found.setdefault(one, []).append(NearDuplicate(session=other, similarity=similarity))
    return found


def _sessions(
    kept: Sequence[tuple[Item, str]], duplicates: Mapping[str, Sequence[NearDuplicate]]
) -> Iterator[tuple[Item, Session]]:
    for item, name in kept:
        session = session_of_line(_part(item).session or "", path=item.part)
        if name in duplicates and session.annotation is not None:
            own = tuple(sorted(duplicates[name], key=lambda pair: pair.session))
            flags = tuple(sorted({*session.annotation.flags, NEAR_DUPLICATE}))
            annotation = session.annotation.model_copy(
                update={"near_duplicates": own, "flags": flags}
            )
            session = session.model_copy(update={"annotation": annotation})
        yield item, session
