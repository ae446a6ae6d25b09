"""``[0.20]one[0.45][0.50]two[0.75]``: words or sentences between their times.

The brackets are those of the ``inline`` format, without speakers; ``[`` and a backslash in the
text are escaped. Reading never raises: what is no stamp is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from talkover.manifests.instructions.answers import Stamp
from talkover.manifests.serialize.base import read_time
from talkover.manifests.serialize.tags import escape, unescape
from talkover.manifests.serialize.transcript import time_text

_STAMP = re.compile(r"\[([0-9.]+)\]((?:[^\[\\]|\\.)*)\[([0-9.]+)\]", re.DOTALL)


def write_stamps(items: Sequence[Stamp], digits: int) -> str:
    """The text of some stamps.

    Args:
        items: In the order in which they are written.
        digits: Digits after the point of a time.
    """
    return "".join(
        f"[{time_text(item.start, digits)}]{escape(item.text, '[')}[{time_text(item.end, digits)}]"
        for item in items
    )


def read_stamps(text: str) -> tuple[Stamp, ...]:
    """The stamps in a text; one that ends before it starts ends where it starts.

    >>> [s.text for s in read_stamps("[0.2]one[0.5] well [0.6]two[0.7][1.0")]
    ['one', 'two']
    """
    found = []
    for match in _STAMP.finditer(text):
        start, end = read_time(match[1]), read_time(match[3])
        if start is not None and end is not None:
            found.append(Stamp(text=unescape(match[2])[0], start=start, end=max(start, end)))
    return tuple(found)
