"""Names of others as ids of ours, which may become names of files."""

from __future__ import annotations

import re

from talkover.manifests.seeds import content_id

_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_LONGEST = 200  # characters of an id of ours
_TAIL = 6  # hexadecimal digits that keep changed names apart


def safe_name(name: str) -> str:
    """The name itself if it is an id already, else one like it that no other name becomes.

    >>> safe_name("EN2001a"), safe_name("Mary Smith")
    ('EN2001a', 'Mary_Smith-80ff43')
    """
    if _SAFE.fullmatch(name) and len(name) <= _LONGEST:
        return name
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._")[: _LONGEST - _TAIL - 1]
    return f"{plain or 'name'}-{content_id(name, length=_TAIL)}"
