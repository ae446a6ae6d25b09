"""The licence of a data set: found from what is in it, or an error that names what stands against.

Within a session everything is mixed, so its licences must have one in common. Over sessions there
are two ways: one licence for all of them (the default), or a collection, in which each session
keeps the licence of what is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from talkover.manifests.card.figures import Use
from talkover.manifests.card.licences import TERMS, Terms, conflict, resolved, spdx_of
from talkover.manifests.errors import ManifestError

NAMED = 5
"""Utterances of each licence that a message names; the file of conflicts lists all."""

NOT_STATED = "not stated"


@dataclass(frozen=True, kw_only=True)
class Licence:
    """What the data set may be given out under."""

    ids: tuple[str, ...]
    """One SPDX id; several for a collection; none where nothing is known."""
    by_session: Counter[str]
    """Sessions by the licence that each could have by itself."""
    used: Counter[str]
    """Uses by the licence of the thing used."""
    unstated: int
    """Uses whose licence is not known."""

    @property
    def terms(self) -> tuple[Terms, ...]:
        """What these licences ask."""
        return tuple(TERMS[name] for name in self.ids)


class LicenceConflict(ManifestError):
    """Licences that do not go together, and where each is used."""

    def __init__(self, reason: str, uses: list[Use]) -> None:
        """Keep all uses for the file of conflicts."""
        self.uses = uses
        super().__init__(reason, field="licence")

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the uses when a worker process sends the error home."""
        return LicenceConflict, (self.reason, self.uses)


@dataclass(kw_only=True)
class Resolver:
    """Collects the licences of sessions and decides at the end."""

    collection: bool = False
    allow_unstated: bool = False
    _known: dict[str, list[Use]] = field(default_factory=dict)
    _unknown: list[Use] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _by_session: Counter[str] = field(default_factory=Counter)
    _adapted: bool = False

    def add(self, uses: Iterable[Use]) -> None:
        """Take in one session.

        Raises:
            LicenceConflict: If its own licences do not go together.
        """
        here: dict[str, list[Use]] = {}
        for use in uses:
            if (name := spdx_of(use.licence)) is None:
                self._unknown.append(use)
            else:
                here.setdefault(name, []).append(use)
        adapted = any(use.adapted for rows in here.values() for use in rows)
        self._adapted |= adapted
        _refuse(here, adapted, "one mixture")
        own = resolved(here, adapted=adapted) if here else None
        self._by_session[own or NOT_STATED] += 1
        for name, rows in here.items():
            self._counts[name] += len(rows)
            self._known.setdefault(name, []).extend(rows)

    def licence(self) -> Licence:
        """The licence of all sessions.

        Raises:
            LicenceConflict: If there is none, or if something has no known licence.
        """
        if self._unknown and not self.allow_unstated:
            raise LicenceConflict(
                f"not known for {len(self._unknown)} uses: {_some(self._unknown)}: add the licence "
                "to the corpus, or accept it with --allow-unstated",
                self._unknown,
            )
        if self.collection:
            ids = tuple(sorted(name for name in self._by_session if name != NOT_STATED))
        else:
            _refuse(self._known, self._adapted, "one data set")
            one = resolved(self._known, adapted=self._adapted) if self._known else None
            ids = () if one is None else (one,)
        return Licence(
            ids=ids,
            by_session=self._by_session,
            used=self._counts,
            unstated=len(self._unknown),
        )


def _refuse(uses: dict[str, list[Use]], adapted: bool, where: str) -> None:
    """Raise if licences do not go together."""
    against = conflict(uses, adapted=adapted)
    if not against:
        return
    named = "; ".join(f"{name}: {_some(uses[name])}" for name in against)
    alone = "allows no adaptation, and this is" if len(against) == 1 else "do not go together in"
    advice = (
        ", or declare each session by itself with --collection" if where == "one data set" else ""
    )
    raise LicenceConflict(
        f"{' and '.join(against)} {alone} {where}: {named}: leave one of them out{advice}",
        [use for name in against for use in uses[name]],
    )


def _some(uses: list[Use]) -> str:
    """A few uses by name, and how many there are."""
    shown = ", ".join(
        f"{use.what} in session {use.session}"
        + ("" if spdx_of(use.licence) or not use.licence else f" (says {use.licence!r})")
        for use in uses[:NAMED]
    )
    rest = len(uses) - NAMED
    return shown + (f" and {rest} more" if rest > 0 else "")
