"""How many people speak in a recording, where somebody has counted them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeakerCount:
    """An exact number of speakers, or the least and the most; nothing by default.

    Raises:
        ValueError: If the numbers contradict each other.
    """

    exact: int | None = None
    least: int | None = None
    most: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        least, most = self.limits
        if least < 1 or (most is not None and most < least):
            raise ValueError(f"speakers must be 1 or more and least <= most, got {self.limits}")
        if self.exact is not None and (self.least is not None or self.most is not None):
            raise ValueError("give an exact number of speakers, or the least and the most")

    @property
    def limits(self) -> tuple[int, int | None]:
        """Least and most speakers.

        >>> SpeakerCount(exact=2).limits, SpeakerCount(most=4).limits
        ((2, 2), (1, 4))
        """
        if self.exact is not None:
            return self.exact, self.exact
        return self.least or 1, self.most
