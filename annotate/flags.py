"""Flags: what a filter may want to look at, from figures and thresholds. Nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import JsonValue

from talkover.annotate.config import FlagsConfig

_BELOW = {
    "low_snr": ("snr_db", "low_snr_db"),
    "narrow_band": ("bandwidth_hz", "narrow_band_hz"),
    "quiet": ("loudness_lufs", "quiet_lufs"),
    "low_dnsmos": ("dnsmos_overall", "low_dnsmos"),
}
"""Flags of figures under their threshold: name of the figure, and of the threshold."""
_ABOVE = {
    "clipped": ("clipped_share", "clipped_share"),
    "loud": ("loudness_lufs", "loud_lufs"),
    "dc_offset": ("dc_offset", "dc_offset"),
    "mostly_silent": ("silence_share", "silence_share"),
}
"""Flags of figures over their threshold; of an offset its size counts."""
NO_SPEECH = "no_speech"
NEAR_DUPLICATE = "near_duplicate"
DEGRADED = "degraded:"
"""Before the kind of a branch that could not be done."""


def flags_of(
    figures: Mapping[str, JsonValue],
    config: FlagsConfig,
    *,
    has_speech: bool,
    degraded: Sequence[str] = (),
) -> tuple[str, ...]:
    """The flags of a recording or a segment, sorted.

    Args:
        figures: By name; those that are missing or None raise no flag.
        config: Thresholds.
        has_speech: Somebody speaks.
        degraded: Kinds of branches that could not be done.

    >>> flags_of({"snr_db": 2.0, "clipped_share": None}, FlagsConfig(), has_speech=True)
    ('low_snr',)
    """
    found = {f"{DEGRADED}{kind}" for kind in degraded}
    if not has_speech:
        found.add(NO_SPEECH)
    sides: tuple[tuple[dict[str, tuple[str, str]], Callable[[float, float], bool]], ...] = (
        (_BELOW, lambda value, limit: value < limit),
        (_ABOVE, lambda value, limit: abs(value) > limit if limit > 0 else value > limit),
    )
    for table, is_beyond in sides:
        for flag, (figure, threshold) in table.items():
            value, limit = figures.get(figure), getattr(config, threshold)
            if isinstance(value, (int, float)) and limit is not None and is_beyond(value, limit):
                found.add(flag)
    return tuple(sorted(found))
