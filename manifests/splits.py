"""Plans of splits that share no speaker, utterance, recording, room or noise.

A plan is a pure function of the sessions' keys, the seed and the mode. Two modes, one trade:

* ``hash``: the names of the first kind (speakers) are dealt out by their hash, and a session
  belongs to the split of its speakers. What bridges splits is dropped and listed. The split of a
  name or session never changes when the corpus grows; a session may come to be dropped.
* ``components``: sessions that share anything, over any number of steps, stay together; whole
  groups are dealt out, so nothing is dropped, but groups may be too large for the shares that were
  asked, and growth may join groups and move sessions.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from talkover.manifests.schema import Session
from talkover.manifests.split_keys import (
    FRACTIONS,
    KINDS,
    STRATA,
    Kind,
    Stratum,
    check_fractions,
    session_keys,
    session_strata,
    split_at,
    unit_hash,
)

Mode = Literal["hash", "components"]

SECONDS_DIGITS = 3
"""Digits of the sums of seconds in a table."""

DROPPED = -1
SESSION = "session"
"""Kind of key of a session that has no key of any kind that was asked for: its own id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """A session that fits no split."""

    session: str
    kind: str
    """The kind of key that bridges."""
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitRow:
    """How one stratum is shared out."""

    stratum: str
    """``all``, or a respect in which sessions are stratified."""
    value: str
    sessions: Mapping[str, int]
    """Sessions of each split, and under ``dropped`` those of none."""
    seconds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """Which session goes where, which go nowhere and why, and how even it came out."""

    assignment: Mapping[str, str]
    """Split of each session that is kept, by session id."""
    dropped: tuple[Dropped, ...]
    table: tuple[SplitRow, ...]
    fractions: Mapping[str, float]
    seed: int
    """The seed that was used: with more than one candidate, the best of them."""
    mode: Mode
    disjoint: tuple[Kind, ...]

    def shares(self) -> dict[str, float]:
        """Share of each split in the seconds that were kept."""
        seconds = self.table[0].seconds
        kept = sum(seconds[name] for name in self.fractions)
        return {name: seconds[name] / kept if kept else 0.0 for name in self.fractions}


def plan_split(
    sessions: Iterable[Session],
    *,
    fractions: Mapping[str, float] = FRACTIONS,
    seed: int = 0,
    disjoint: Sequence[Kind] = KINDS,
    stratify: Sequence[Stratum] = STRATA,
    mode: Mode = "hash",
    candidates: int = 1,
) -> SplitPlan:
    """Deal sessions out to splits that share nothing of the given kinds.

    Args:
        sessions: Read once, in any order; only their keys stay in memory.
        fractions: Share of each split: of speakers in mode ``hash``, of seconds in ``components``.
        seed: Any whole number from 0.
        disjoint: Kinds of things that no two splits share; the first one leads in mode ``hash``.
        stratify: Respects in which splits should be alike; rows of the table.
        mode: See the module.
        candidates: In mode ``hash``, how many seeds from ``seed`` on are tried; the one with the
            evenest strata and the fewest drops is kept in the plan. When the corpus has grown,
            plan again with that seed and one candidate.

    Raises:
        ValueError: For impossible arguments, or a session id that comes twice.
    """
    check_fractions(fractions)
    if not disjoint or set(disjoint) - set(KINDS):
        raise ValueError(f"disjoint must name some of {', '.join(KINDS)}, got {list(disjoint)}")
    if set(stratify) - set(STRATA):
        raise ValueError(f"stratify must name some of {', '.join(STRATA)}, got {list(stratify)}")
    if candidates < 1 or seed < 0 or mode not in ("hash", "components"):
        raise ValueError(
            f"candidates must be 1 or more, seed 0 or more and mode hash or components, "
            f"got {candidates}, {seed} and {mode!r}"
        )
    index = KeyIndex(disjoint, stratify)
    for session in sessions:
        index.add(session)
    if mode == "components":
        outcome = Outcome(seed, share_out(index, fractions, seed), [])
    else:
        seeds = range(seed, seed + candidates)
        outcome = min(
            (deal_out(index, fractions, one) for one in seeds),
            key=lambda one: unevenness(index, fractions, one.labels),
        )
    names = list(fractions)
    return SplitPlan(
        assignment={
            name: names[label]
            for name, label in zip(index.ids, outcome.labels.tolist(), strict=True)
            if label != DROPPED
        },
        dropped=tuple(outcome.dropped),
        table=tuple(tabulate(index, names, outcome.labels)),
        fractions=dict(fractions),
        seed=outcome.seed,
        mode=mode,
        disjoint=tuple(disjoint),
    )


class KeyIndex:
    """The keys of sessions as numbers, about 4 bytes per key of a session."""

    def __init__(self, disjoint: Sequence[Kind], stratify: Sequence[Stratum]) -> None:
        """Take the kinds of keys and the strata to note."""
        self.disjoint, self.stratify = tuple(disjoint), tuple(stratify)
        self.ids: list[str] = []
        self.names: list[tuple[str, str]] = []
        self.leading = array("i")
        """Number of leading keys of each session; they come first among its keys."""
        self.seconds = array("d")
        self._numbers: dict[tuple[str, str], int] = {}
        self._keys, self._ends = array("i"), array("q", [0])
        self._cells: dict[tuple[str, ...], int] = {}
        self._cell_of = array("i")
        self._seen: set[str] = set()

    def add(self, session: Session) -> None:
        """Note the keys of a session."""
        if session.id in self._seen:
            raise ValueError(f"session id {session.id!r} comes twice")
        self._seen.add(session.id)
        self.ids.append(session.id)
        keys = session_keys(session, self.disjoint)
        groups = [[(str(kind), name) for name in keys[kind]] for kind in self.disjoint]
        groups = [group for group in groups if group] or [[(SESSION, session.id)]]
        self.leading.append(len(groups[0]))
        for group in groups:
            self._keys.extend(self._number(key) for key in group)
        self._ends.append(len(self._keys))
        self.seconds.append(session.audio.duration)
        cell = session_strata(session, self.stratify)
        self._cell_of.append(self._cells.setdefault(cell, len(self._cells)))

    @property
    def keys(self) -> NDArray[np.int32]:
        """Keys of all sessions, one session after the other."""
        return np.frombuffer(self._keys, dtype=np.int32)

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where the keys of session i begin (i) and end (i + 1)."""
        return np.frombuffer(self._ends, dtype=np.int64)

    @property
    def owners(self) -> NDArray[np.int64]:
        """The session of each entry of ``keys``."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.ends))

    def strata(self) -> list[tuple[str, str, NDArray[np.bool_]]]:
        """(respect, value, which sessions) of every stratum, all of them first."""
        cell_of = np.frombuffer(self._cell_of, dtype=np.int32)
        found = [("all", "all", np.ones(len(self.ids), dtype=np.bool_))]
        for place, respect in enumerate(self.stratify):
            for value in sorted({cell[place] for cell in self._cells}):
                cells = [number for cell, number in self._cells.items() if cell[place] == value]
                found.append((respect, value, np.isin(cell_of, cells)))
        return found

    def _number(self, key: tuple[str, str]) -> int:
        number = self._numbers.setdefault(key, len(self.names))
        if number == len(self.names):
            self.names.append(key)
        return number


@dataclass(frozen=True, slots=True)
class Outcome:
    """Label of each session (`DROPPED` for none) under a seed, and why some have none."""

    seed: int
    labels: NDArray[np.int8]
    dropped: list[Dropped]


def deal_out(index: KeyIndex, fractions: Mapping[str, float], seed: int) -> Outcome:
    """Mode ``hash``: labels from the leading keys, then drop what bridges."""
    labels, disagreeing = leading_labels(index, fractions, seed)
    bridging = drop_bridges(index, fractions, seed, labels)
    reasons = disagreeing | bridging
    return Outcome(seed, labels, [reasons[number] for number in sorted(reasons)])


def leading_labels(
    index: KeyIndex, fractions: Mapping[str, float], seed: int
) -> tuple[NDArray[np.int8], dict[int, Dropped]]:
    """The split of each session by the hash of its leading keys, or none where they disagree."""
    names, order = list(fractions), {name: place for place, name in enumerate(fractions)}
    of_key: dict[int, int] = {}
    labels = np.full(len(index.ids), DROPPED, dtype=np.int8)
    dropped: dict[int, Dropped] = {}
    ends, keys = index.ends.tolist(), index.keys
    for number, count in enumerate(index.leading):
        mine = keys[ends[number] : ends[number] + count].tolist()
        for key in mine:
            if key not in of_key:
                kind, name = index.names[key]
                of_key[key] = order[split_at(unit_hash(str(seed), kind, name), fractions)]
        found = {of_key[key] for key in mine}
        if len(found) == 1:
            labels[number] = found.pop()
            continue
        kind = index.names[mine[0]][0]
        told = ", ".join(f"{index.names[key][1]} ({names[of_key[key]]})" for key in mine)
        dropped[number] = Dropped(
            session=index.ids[number], kind=kind, reason=f"{kind}s of several splits: {told}"
        )
    return labels, dropped


def drop_bridges(
    index: KeyIndex, fractions: Mapping[str, float], seed: int, labels: NDArray[np.int8]
) -> dict[int, Dropped]:
    """Take sessions out of ``labels`` until no key is in two splits; gives the reasons.

    A key that several splits use goes to the first of them in an order of its own (its hash's
    split, then the others by hash). So further sessions may take a split's sessions out, but never
    bring a session back or move it.
    """
    names, num_keys = list(fractions), len(index.names)
    keys, owners = index.keys, index.owners
    of_entry = labels[owners]
    used = np.zeros((num_keys, len(names)), dtype=np.bool_)
    kept = of_entry != DROPPED
    used[keys[kept], of_entry[kept]] = True
    winner = np.full(num_keys, DROPPED, dtype=np.int8)
    for key in np.flatnonzero(used.sum(axis=1) > 1).tolist():
        preference = preferred_splits(*index.names[key], seed, fractions)
        winner[key] = next(label for label in preference if used[key, label])
    losing = np.flatnonzero(kept & (winner[keys] != DROPPED) & (winner[keys] != of_entry))
    dropped: dict[int, Dropped] = {}
    for entry in losing.tolist():
        number, key = int(owners[entry]), int(keys[entry])
        if number not in dropped:
            kind, name = index.names[key]
            reason = f"{kind} {name} is also in {names[winner[key]]}, which keeps it"
            dropped[number] = Dropped(session=index.ids[number], kind=kind, reason=reason)
    labels[list(dropped)] = DROPPED
    return dropped


def preferred_splits(kind: str, name: str, seed: int, fractions: Mapping[str, float]) -> list[int]:
    """The splits in the order in which a key would go to them: a matter of its hash alone."""
    names = list(fractions)
    first = split_at(unit_hash(str(seed), kind, name), fractions)
    others = sorted(set(names) - {first}, key=lambda n: unit_hash(str(seed), kind, name, n))
    return [names.index(split) for split in (first, *others)]


def share_out(index: KeyIndex, fractions: Mapping[str, float], seed: int) -> NDArray[np.int8]:
    """Mode ``components``: connected groups, longest first, to where their strata lack most."""
    count = len(index.ids)
    labels = np.full(count, DROPPED, dtype=np.int8)
    if count == 0:
        return labels
    entries = (np.ones(len(index.keys), dtype=np.bool_), (index.owners, index.keys + count))
    size = count + len(index.names)
    _, groups = connected_components(coo_array(entries, shape=(size, size)), directed=False)
    by_name = np.array(sorted(range(count), key=index.ids.__getitem__))  # so that input order
    _, group_of = np.unique(groups[by_name], return_inverse=True)  # does not change a sum
    seconds = np.frombuffer(index.seconds, dtype=np.float64)[by_name]
    strata = [which[by_name] for _, _, which in index.strata()]
    num_groups = int(group_of.max()) + 1
    sums = [np.bincount(group_of, seconds * which, num_groups) for which in strata]
    parts = np.stack(sums, axis=1)  # [group, stratum], seconds
    parts = parts / np.maximum(parts.sum(axis=0), np.finfo(float).tiny)  # shares of each stratum
    first = {group: index.ids[by_name[i]] for i, group in reversed(list(enumerate(group_of)))}
    order = sorted(
        range(len(parts)), key=lambda g: (-parts[g, 0], unit_hash(str(seed), "group", first[g]))
    )
    lacking = np.repeat(np.array(list(fractions.values()))[:, None], len(strata), axis=1)
    of_group = np.zeros(len(parts), dtype=np.int8)
    for group in order:
        of_group[group] = best = int(np.argmax(lacking @ parts[group]))
        lacking[best] -= parts[group]
    labels[by_name] = of_group[group_of]
    return labels


def unevenness(index: KeyIndex, fractions: Mapping[str, float], labels: NDArray[np.int8]) -> float:
    """How far the strata are from the asked shares, plus the share of seconds that is dropped."""
    seconds = np.frombuffer(index.seconds, dtype=np.float64)
    wanted = np.array(list(fractions.values()))
    total = float(seconds.sum()) or 1.0
    score = float(seconds[labels == DROPPED].sum()) / total
    for _, _, which in index.strata():
        kept = which & (labels != DROPPED)
        found = np.bincount(labels[kept], seconds[kept], len(wanted))
        if found.sum() > 0:
            distance = np.abs(found / found.sum() - wanted).sum()
            score += float(distance) * float(seconds[which].sum()) / total
    return score


def tabulate(index: KeyIndex, names: Sequence[str], labels: NDArray[np.int8]) -> Iterable[SplitRow]:
    """One row for everything and one for each stratum."""
    seconds = np.frombuffer(index.seconds, dtype=np.float64)
    columns = [*names, "dropped"]
    for respect, value, which in index.strata():
        place = np.where(labels[which] == DROPPED, len(names), labels[which])
        counts = np.bincount(place, minlength=len(columns)).tolist()
        sums = np.bincount(place, seconds[which], len(columns)).tolist()
        yield SplitRow(
            stratum=respect,
            value=value,
            sessions=dict(zip(columns, counts, strict=True)),
            seconds={c: round(s, SECONDS_DIGITS) for c, s in zip(columns, sums, strict=True)},
        )
