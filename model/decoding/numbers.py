"""Which digits may follow, so that a time ends up within its limits.

Times are counted in ticks: the last digit that can be written, such as 0.1 s. ``digits`` are the
fewest and the most behind the point: JSON leaves zeros at the end out.
"""

from __future__ import annotations

MOST_WHOLE = 9
"""Digits before the point; the parser reads no more."""

Digits = tuple[int, int]


def ticks_text(ticks: int, digits: int) -> str:
    """A time as it is written.

    >>> ticks_text(13, 1), ticks_text(7, 0), ticks_text(5, 2)
    ('1.3', '7', '0.05')
    """
    if digits == 0:
        return str(ticks)
    whole, rest = divmod(ticks, 10**digits)
    return f"{whole}.{rest:0{digits}d}"


def is_whole(text: str, low: int, high: int, digits: Digits) -> bool:
    """Whether the text is a complete time within the limits."""
    ticks = ticks_of(text, digits)
    return ticks is not None and low <= ticks <= high


def ticks_of(text: str, digits: Digits) -> int | None:
    """Ticks of a complete time, or None.

    >>> ticks_of("1.30", (2, 2)), ticks_of("1.3", (1, 2)), ticks_of("1.3", (2, 2))
    (130, 130, None)
    """
    whole, point, rest = text.partition(".")
    least, most = digits
    if not least <= len(rest) <= most or bool(point) != bool(most) or not _is_number(whole):
        return None
    return int(whole + rest.ljust(most, "0")) if not rest or rest.isdigit() else None


def completion(text: str, low: int, high: int, digits: Digits) -> str | None:
    """What must follow so that the least time within the limits is written; None if none can be.

    >>> completion("", 13, 20, (1, 1)), completion("1", 13, 120, (1, 1))
    ('1.3', '.3')
    >>> completion("2.", 13, 20, (1, 1)), completion("3", 13, 20, (1, 1))
    ('0', None)
    """
    whole, point, rest = text.partition(".")
    most = digits[1]
    if not text:
        return ticks_text(low, most) if low <= high else None
    if not _is_number(whole) or (point and not most) or len(rest) > most:
        return None
    if rest and not rest.isdigit():
        return None
    if point:
        span = 10 ** (most - len(rest))
        first = int(whole + rest) * span
        return _tail(text, first, first + span - 1, low, high, most)
    unit = 10**most
    for more in range(0, 1 if whole == "0" else MOST_WHOLE - len(whole) + 1):
        first = int(whole) * 10**more
        found = _tail(text, first * unit, (first + 10**more) * unit - 1, low, high, most)
        if found is not None:
            return found
    return None


def _tail(text: str, first: int, last: int, low: int, high: int, digits: int) -> str | None:
    """The rest of the least time in both ranges."""
    ticks = max(first, low)
    return ticks_text(ticks, digits)[len(text) :] if ticks <= min(last, high) else None


def _is_number(whole: str) -> bool:
    is_short = len(whole) <= MOST_WHOLE and whole.isascii() and whole.isdigit()
    return is_short and (whole == "0" or not whole.startswith("0"))
