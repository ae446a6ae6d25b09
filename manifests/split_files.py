"""Splits on the disk: one self-contained folder each, and the search for leaks between them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from talkover.manifests.errors import ManifestError, RunError
from talkover.manifests.exports import write_labels
from talkover.manifests.io import read_sessions, session_line
from talkover.manifests.lines import CUTS_NAMES, cuts_file
from talkover.manifests.markers import atomic_path
from talkover.manifests.schema import Session
from talkover.manifests.split_keys import KINDS, Kind, session_keys
from talkover.manifests.splits import SplitPlan

CUTS = CUTS_NAMES[0]
PLAN = "split.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Leak:
    """Something that two splits share."""

    kind: Kind
    name: str
    sessions: Mapping[str, str]
    """One session that holds it, for each split that does."""


def write_split(folder: Path, out: Path, plan: SplitPlan) -> dict[str, int]:
    """Write a folder of sessions per split, ``OUT/SPLIT/cuts.jsonl``, and ``OUT/split.json``.

    Each split's folder stands alone: it has its own label files, paths stay as they were, and
    audio, stems and registration clips are hard links to the files of ``folder``, or copies where
    the file system has no such links (another disk). Manifests appear when all are complete.

    Args:
        folder: Folder of the sessions that the plan was made from.
        out: Folder of the splits; it must not hold splits yet.
        plan: From `plan_split`.

    Returns:
        Number of sessions of each split.

    Raises:
        ManifestError: If sessions and plan do not match, or a file is missing.
        RunError: If ``out`` holds a split.
    """
    for name in plan.fractions:
        if (out / name / CUTS).exists():
            raise RunError(f"{out / name} holds a split already: choose an empty folder")
    source = cuts_file(folder).parent
    counts = dict.fromkeys(plan.fractions, 0)
    known = {one.session for one in plan.dropped}
    with ExitStack() as stack:
        files = {name: _open(stack, out / name / CUTS) for name in plan.fractions}
        for session in read_sessions(folder):
            split = plan.assignment.get(session.id)
            if split is None:
                if session.id not in known:
                    raise ManifestError(
                        f"session {session.id} is not in the plan: plan this folder again",
                        path=folder,
                    )
                continue
            _link_files(session, source, out / split)
            files[split].write(session_line(session.model_copy(update={"split": split})) + "\n")
            counts[split] += 1
        if sum(counts.values()) != len(plan.assignment):
            missing = len(plan.assignment) - sum(counts.values())
            raise ManifestError(f"{missing} sessions of the plan are not there", path=folder)
        for name, file in files.items():
            file.flush()
            write_labels(out / name, read_sessions(Path(file.name)))
        _open(stack, out / PLAN).write(plan_text(plan))
    return counts


def plan_text(plan: SplitPlan) -> str:
    """What the plan decided besides the sessions, as JSON with sorted keys."""
    values = {
        "seed": plan.seed,
        "mode": plan.mode,
        "fractions": dict(plan.fractions),
        "splits": list(plan.fractions),
        "disjoint": plan.disjoint,
        "table": [asdict(row) for row in plan.table],
        "dropped": [asdict(one) for one in plan.dropped],
    }
    return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_split(out: Path) -> dict[str, Iterator[Session]]:
    """The sessions of each split below a folder, by the folder's name; read lazily.

    Raises:
        ManifestError: If there is no split.
    """
    found = sorted(path.parent for path in out.glob(f"*/{CUTS}*"))
    if not found:
        raise ManifestError(f"no */{CUTS} in this folder", path=out)
    return {path.name: read_sessions(path) for path in found}


def verify_split(
    splits: Mapping[str, Iterable[Session]], *, disjoint: Sequence[Kind] = KINDS
) -> list[Leak]:
    """Everything that two or more splits share, sorted by kind and name; empty is good.

    Args:
        splits: Sessions of each split, such as `read_split` gives; read once.
        disjoint: Kinds of things to look for.
    """
    holders: dict[tuple[Kind, str], dict[str, str] | tuple[str, str]] = {}
    for split, sessions in splits.items():
        for session in sessions:
            for kind, names in session_keys(session, disjoint).items():
                for name in names:
                    _note(holders, (kind, name), split, session.id)
    leaks = [
        Leak(kind=kind, name=name, sessions=found)
        for (kind, name), found in holders.items()
        if isinstance(found, dict)
    ]
    return sorted(leaks, key=lambda leak: (KINDS.index(leak.kind), leak.name))


def _note(
    holders: dict[tuple[Kind, str], dict[str, str] | tuple[str, str]],
    key: tuple[Kind, str],
    split: str,
    session: str,
) -> None:
    """Note that a split holds a key; a dictionary only where two splits do, for memory's sake."""
    found = holders.setdefault(key, (split, session))
    if isinstance(found, tuple):
        if found[0] != split:
            holders[key] = dict([found, (split, session)])
    else:
        found.setdefault(split, session)


def session_files(session: Session) -> list[str]:
    """Every file of a session, as paths below the folder of its manifest."""
    paths = [session.audio.path, *(clip.path for clip in session.registration)]
    if session.mix is not None:
        paths += [stem.path for stem in session.mix.stems]
        paths += [session.mix.pre_channel] if session.mix.pre_channel is not None else []
    return sorted(set(paths))


def _open(stack: ExitStack, path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = stack.enter_context(atomic_path(path))
    return stack.enter_context(temporary.open("w", encoding="utf8", newline="\n"))


def _link_files(session: Session, source: Path, target: Path) -> None:
    for name in session_files(session):
        if not (source / name).is_file():
            raise ManifestError(f"file {name} of session {session.id} is missing", path=source)
        if not (target / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(source / name, target / name)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=True)
    except OSError:  # another disk, or no hard links there
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
