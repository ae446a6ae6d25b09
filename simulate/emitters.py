"""A place from which something sounds: where, which way it faces, and how it radiates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from talkover.manifests.schema import Metres


@dataclass(frozen=True, kw_only=True, slots=True)
class Emitter:
    """A voice or another source of sound in a room."""

    position_m: Metres | None = None
    """None where geometry is not known."""
    facing_deg: float | None = None
    """Where the front points to, level, degrees counter-clockwise from the room's first axis."""
    directivity: str = "omni"
    """A name of `talkover.simulate.directivity`."""
    response: str | None = None
    """Id of a measured response."""

    @property
    def position(self) -> Metres:
        """Where it is.

        Raises:
            ValueError: If that is not known.
        """
        if self.position_m is None:
            raise ValueError("a source in a shoebox room needs position_m")
        return self.position_m

    @property
    def front(self) -> Metres | None:
        """Unit vector of the front; None for one that radiates evenly."""
        if self.directivity == "omni":
            return None
        angle = math.radians(self.facing_deg or 0.0)
        return (math.cos(angle), math.sin(angle), 0.0)
