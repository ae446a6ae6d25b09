"""Licences as SPDX ids: what each asks, and which one a mixture of several may carry.

A mixture is an adaptation of all that is in it, so it may only be given out under a licence that
every one of them allows. `allowed` holds these, after the compatibility chart of Creative Commons
(wiki.creativecommons.org, "CC license compatibility"), section 4(b) of its ShareAlike licences
(the same licence or a later version of it) and the texts of the others. So ShareAlike goes neither
with NonCommercial nor with another ShareAlike, and NoDerivatives goes into no mixture at all. This
is how the toolkit decides, not legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

CC_VERSIONS = ("1.0", "2.0", "2.5", "3.0", "4.0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What a licence asks of those who pass the work on."""

    id: str
    """SPDX id."""
    attribution: bool = True
    """Whoever made it must be named."""
    share_alike: bool = False
    non_commercial: bool = False
    no_derivatives: bool = False

    @property
    def url(self) -> str:
        """Its page in the SPDX list of licences."""
        return f"https://spdx.org/licenses/{self.id}.html"


def _creative_commons() -> list[Terms]:
    terms = []
    for version in CC_VERSIONS:
        for code in ("BY", "BY-SA", "BY-NC", "BY-NC-SA", "BY-ND", "BY-NC-ND"):
            parts = code.split("-")
            terms.append(
                Terms(
                    id=f"CC-{code}-{version}",
                    share_alike="SA" in parts,
                    non_commercial="NC" in parts,
                    no_derivatives="ND" in parts,
                )
            )
    return terms


_FREE = ("CC0-1.0", "PDDL-1.0", "Unlicense", "0BSD")
_NAMING = (
    "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "ODC-By-1.0",
    "CDLA-Permissive-1.0", "CDLA-Permissive-2.0",
)  # fmt: skip
_SHARED_ALIKE = ("ODbL-1.0", "CDLA-Sharing-1.0", "GPL-3.0-only", "GPL-3.0-or-later")

TERMS: dict[str, Terms] = {
    terms.id: terms
    for terms in (
        *(Terms(id=name, attribution=False) for name in _FREE),
        *(Terms(id=name) for name in _NAMING),
        *_creative_commons(),
        *(Terms(id=name, share_alike=True) for name in _SHARED_ALIKE),
    )
}
"""Every licence that the card knows."""

PREFERRED = (
    "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-SA-3.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0",
    "CC-BY-NC-SA-3.0",
)  # fmt: skip
"""Which licence a mixture gets where several are allowed: the one that asks least."""

_ALIASES = {
    "public domain": "CC0-1.0",
    "public-domain": "CC0-1.0",
    "cc0": "CC0-1.0",
    "cc-zero": "CC0-1.0",
    "apache-2": "Apache-2.0",
    "apache": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "odbl": "ODbL-1.0",
    "gpl-3.0": "GPL-3.0-only",
}
_BY_LOWER = {name.lower(): name for name in TERMS}
_CC_URL = re.compile(r"https?://creativecommons\.org/licenses/([a-z-]+)/([0-9.]+)(?:/.*)?")
_SPDX_URL = re.compile(r"https?://spdx\.org/licenses/(.+?)(?:\.html|\.json)?")


def spdx_of(text: str | None) -> str | None:
    """The SPDX id that a corpus means, or None where it means none of `TERMS`.

    >>> spdx_of("CC BY-SA 4.0"), spdx_of("https://creativecommons.org/licenses/by-nc/4.0/")
    ('CC-BY-SA-4.0', 'CC-BY-NC-4.0')
    >>> spdx_of("cc0"), spdx_of("ask the authors")
    ('CC0-1.0', None)
    """
    plain = " ".join((text or "").split()).lower()
    if match := _CC_URL.fullmatch(plain):
        plain = f"cc-{match[1]}-{match[2]}"
    elif match := _SPDX_URL.fullmatch(plain):
        plain = match[1]
    elif "creativecommons.org/publicdomain" in plain:
        return "CC0-1.0"
    name = _ALIASES.get(plain, re.sub(r"[ _]+", "-", plain))
    return name if name in TERMS else _BY_LOWER.get(name)


def allowed(name: str, *, adapted: bool) -> frozenset[str]:
    """The licences under which a work that holds this one may be given out.

    Args:
        name: A name of `TERMS`.
        adapted: Whether it was changed or mixed; else it stands in the work as it is.
    """
    terms = TERMS[name]
    if terms.no_derivatives:
        return frozenset() if adapted else frozenset({name})
    if not terms.attribution:
        return frozenset(TERMS)
    if terms.share_alike:
        return frozenset(_later_versions(name))
    asks = {
        other.id
        for other in TERMS.values()
        if other.attribution
        and (other.non_commercial or not terms.non_commercial)
        and not other.no_derivatives
    }
    return frozenset(asks | {name})


def resolved(names: Iterable[str], *, adapted: bool) -> str | None:
    """The licence of a work that holds all of these, or None if there is none.

    One licence beside those of the public domain stays as it is.

    >>> resolved(["CC0-1.0", "CC-BY-4.0"], adapted=True)
    'CC-BY-4.0'
    >>> resolved(["CC-BY-4.0", "CC-BY-NC-4.0", "MIT"], adapted=True)
    'CC-BY-NC-4.0'
    >>> resolved(["CC-BY-SA-4.0", "CC-BY-NC-4.0"], adapted=True) is None
    True
    """
    known = sorted(set(names))
    common = frozenset(TERMS)
    for name in known:
        common &= allowed(name, adapted=adapted)
    asking = [name for name in known if TERMS[name].attribution]
    own = [name for name in asking if name in common] if len(asking) == 1 else []
    if own or not common:
        return own[0] if own else None
    best = [name for name in PREFERRED if name in common]
    return (best or sorted(common))[0]


def conflict(uses: Mapping[str, object], *, adapted: bool) -> tuple[str, ...]:
    """The fewest licences of a set that already go with nothing in common; empty if all do.

    >>> conflict({"MIT": 1, "CC-BY-ND-4.0": 1}, adapted=True)
    ('CC-BY-ND-4.0',)
    """
    names = sorted(uses)
    if resolved(names, adapted=adapted) is not None:
        return ()
    for size in range(1, len(names) + 1):
        for some in combinations(names, size):
            if resolved(some, adapted=adapted) is None:
                return some
    return tuple(names)


def _later_versions(name: str) -> list[str]:
    """The same licence and later versions of it."""
    if name.startswith("GPL-3.0"):
        return ["GPL-3.0-only", "GPL-3.0-or-later"] if name.endswith("later") else [name]
    family, dash, version = name.rpartition("-")
    if not name.startswith("CC-") or not dash:
        return [name]
    later = [f"{family}-{v}" for v in CC_VERSIONS[CC_VERSIONS.index(version) :]]
    return [*later, "GPL-3.0-only"] if name == "CC-BY-SA-4.0" else later
