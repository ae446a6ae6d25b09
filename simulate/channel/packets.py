"""Packet loss in bursts, after Gilbert (1960) and Elliott (1963), and what the receiver plays.

::

            p                     good: a packet is lost with `loss_in_good`
     ┌────────────┐               bad:  a packet is lost with `loss_in_bad`
    good         bad
     └────────────┘               1 / r = mean stay in bad, in packets
            r
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from talkover.simulate.channel.effects import Samples, Setting, require_between
from talkover.simulate.channel.streams import rechunked

REPEATED_GAIN_DB = -6.0
"""A repeated packet is this much below the one before it: an outage of 60 ms fades by 18 dB."""
FADE_SECONDS = 0.002
"""Cross-fade where received and concealed sound meet, against clicks."""

Concealment = Literal["zero", "repeat"]


@dataclass(frozen=True, kw_only=True)
class PacketLoss:
    """Packets of all channels of a device that do not arrive.

    In the long run the share ``loss`` is lost, in stays of ``burst`` packets in the bad state.
    """

    name: ClassVar[str] = "packet_loss"
    loss: float = 0.05
    """Share of packets that are lost, on average."""
    burst: float = 2.0
    """Mean stay in the bad state, in packets; with ``loss_in_bad`` 1 the mean length of a burst."""
    loss_in_bad: float = 1.0
    loss_in_good: float = 0.0
    packet: float = 0.02
    """Seconds of sound in a packet."""
    concealment: Concealment = "repeat"
    """``zero`` plays silence, ``repeat`` the last packet again, 6 dB lower each time."""

    def __post_init__(self) -> None:
        """Check that such a chain exists."""
        require_between("loss", self.loss, 0.0, 0.9)
        require_between("burst", self.burst, 1.0, 1000.0)
        require_between("loss_in_bad", self.loss_in_bad, 0.0, 1.0)
        require_between("loss_in_good", self.loss_in_good, 0.0, 1.0)
        require_between("packet", self.packet, 0.0025, 0.12)
        if self.concealment not in ("zero", "repeat"):
            raise ValueError(f"concealment must be zero or repeat, got {self.concealment!r}")
        if not self.loss_in_good <= self.loss < self.loss_in_bad and self.loss > 0:
            raise ValueError(
                f"loss {self.loss:g} must lie between loss_in_good {self.loss_in_good:g} and "
                f"loss_in_bad {self.loss_in_bad:g}"
            )
        if self._into_bad > 1:
            raise ValueError(f"loss {self.loss:g} needs a longer burst than {self.burst:g} packets")

    def check(self, sampling_rate: int) -> None:
        """Works at any rate."""

    @property
    def _into_bad(self) -> float:
        """Probability of good → bad that gives the mean loss."""
        span = self.loss_in_bad - self.loss_in_good
        in_bad = (self.loss - self.loss_in_good) / span if span > 0 else 0.0
        return in_bad / (1 - in_bad) / self.burst

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which of so many packets are lost, ``[count]``; the chain begins in its long-run mix."""
        enter, leave = self._into_bad, 1 / self.burst
        moves = rng.random(count + 1)
        bad = bool(moves[0] * (enter + leave) < enter)
        states = np.empty(count, dtype=bool)
        for n in range(count):
            states[n] = bad
            bad = moves[n + 1] >= leave if bad else moves[n + 1] < enter
        return np.asarray(rng.random(count) < np.where(states, self.loss_in_bad, self.loss_in_good))

    def apply(self, blocks: Iterable[Samples], setting: Setting) -> Iterator[Samples]:
        """Replace lost packets; the last packet may be short."""
        size = max(1, round(self.packet * setting.sampling_rate))
        lost = self.draw(-(-setting.num_samples // size), setting.rng)
        setting.measured["packets"] = len(lost)
        setting.measured["lost_packets"] = int(lost.sum())
        fade = min(round(FADE_SECONDS * setting.sampling_rate), size // 4)
        gain = np.float32(10 ** (REPEATED_GAIN_DB / 20)) if self.concealment == "repeat" else 0
        played: Samples | None = None  # the last packet as it was heard
        was_lost = False
        for block, is_lost in zip(rechunked(blocks, size), lost, strict=True):
            if played is None:
                played = np.zeros_like(block)
            going_on = played[:, : block.shape[1]] * np.float32(gain)
            heard = going_on if is_lost else block
            if was_lost != bool(is_lost):
                # Into a loss the old packet's end goes on; out of it the concealment does.
                heard = heard.copy()
                width = min(fade, heard.shape[1])
                ramp = _ramp(width)
                before = played[:, -1:] if is_lost else going_on[:, :width]
                heard[:, :width] = heard[:, :width] * ramp + before * (1 - ramp)
            yield heard
            played, was_lost = _whole(heard, size), bool(is_lost)


def _ramp(count: int) -> NDArray[np.float32]:
    return np.asarray((np.arange(count) + 0.5) / max(count, 1), dtype=np.float32)


def _whole(block: Samples, size: int) -> Samples:
    missing = size - block.shape[1]
    return block if not missing else np.pad(block, ((0, 0), (0, missing)))
