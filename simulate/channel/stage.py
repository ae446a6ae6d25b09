"""The channel of a session: every device's part of the mixture through its effects, in order.

::

    mixture (16 bit) ─► spool ─┬─ device 0: channels 0-7 ─► effect ─► effect ─┐
                               └─ device 1: channels 8-9 ─► effect ───────────┴─► blocks, 16 bit

Input and output have the values of 16 bit: the channel can be applied again to the file
``mix.pre_channel`` with the same result.

Legend: ``C`` channel, ``T`` sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from talkover.manifests.errors import RunError
from talkover.manifests.pcm import count_clipped, to_pcm16
from talkover.manifests.schema import ChannelEffect
from talkover.simulate.channel.effects import Samples, Setting, make_effect
from talkover.simulate.channel.microphones import MicrophoneResponses
from talkover.simulate.channel.streams import rechunked
from talkover.simulate.levels import LEVEL_DIGITS, decibels_of
from talkover.simulate.plan import PlannedEffect
from talkover.simulate.spool import Spool

BLOCK = 32768
"""Samples of the blocks that go out."""
PCM16_SCALE = np.float32(2**15)


class ChannelStage:
    """Applies planned effects, and knows afterwards what came out.

    Args:
        planned: Effects in the order in which they are applied.
        devices: Device number of each channel.
        sampling_rate: Hz.
        num_samples: Length of the session.
        scratch: Folder for signals that must wait; None keeps them in memory.
        responses: Measured microphones, where an effect names one.

    Raises:
        ConfigurationError: If an effect is not known or cannot be made.
        ValueError: If an effect is of a device that has no channel.
    """

    def __init__(
        self,
        planned: Sequence[PlannedEffect],
        devices: Sequence[int],
        sampling_rate: int,
        num_samples: int,
        *,
        scratch: Path | None = None,
        responses: MicrophoneResponses | None = None,
    ) -> None:
        """Make the effects."""
        self._channels = {
            device: [c for c, other in enumerate(devices) if other == device]
            for device in sorted(set(devices))
        }
        self._planned = tuple(planned)
        self._measured: list[dict[str, JsonValue]] = [{} for _ in planned]
        self._effects = [make_effect(p.name, p.parameters) for p in planned]
        for row in planned:
            if row.device not in self._channels:
                raise ValueError(f"effect {row.name} is of device {row.device}, which has none")
        self._rate, self._count = sampling_rate, num_samples
        self._scratch, self._responses = scratch, responses
        self._peak, self._clipped = 0.0, 0
        self._done = False

    def apply(self, blocks: Iterable[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
        """The mixture after the channel, as many samples, in blocks of any size.

        Args:
            blocks: The mixture, ``[C, T]``; all of it is taken before the first block comes out.
        """
        with ExitStack() as stack:
            waiting = self._spool(stack)
            for block in blocks:
                waiting.append(block.astype(np.float32) / PCM16_SCALE)
            streams = [
                rechunked(self._device(device, waiting, stack), BLOCK) for device in self._channels
            ]
            for parts in zip(*streams, strict=True):
                mixed = np.empty(
                    (sum(len(part) for part in parts), parts[0].shape[1]), dtype=np.float32
                )
                for part, channels in zip(parts, self._channels.values(), strict=True):
                    mixed[channels] = part
                self._peak = max(self._peak, float(np.abs(mixed).max()))
                self._clipped += count_clipped(mixed)
                yield to_pcm16(mixed)
        self._done = True

    @property
    def effects(self) -> tuple[ChannelEffect, ...]:
        """The effects with what was measured, for the contract; to be read after `apply`."""
        self._require_done()
        return tuple(
            ChannelEffect(
                name=row.name,
                device=row.device,
                parameters=row.parameters,
                seed=row.seed,
                measured=measured,
            )
            for row, measured in zip(self._planned, self._measured, strict=True)
        )

    @property
    def peak_dbfs(self) -> float:
        """Peak after the channel and before it is held to 16 bit; to be read after `apply`."""
        self._require_done()
        return round(decibels_of(self._peak), LEVEL_DIGITS)

    @property
    def clipped_samples(self) -> int:
        """Samples that exceeded full scale after the channel; to be read after `apply`."""
        self._require_done()
        return self._clipped

    def _device(self, device: int, mixture: Spool, stack: ExitStack) -> Iterator[Samples]:
        """The chain of one device; lazy, so that all devices go through the session together."""
        channels = self._channels[device]
        stream: Iterator[Samples] = (
            np.ascontiguousarray(block[channels]) for block in mixture if block is not None
        )
        for row, effect, measured in zip(self._planned, self._effects, self._measured, strict=True):
            if row.device != device:
                continue
            setting = Setting(
                sampling_rate=self._rate,
                num_samples=self._count,
                rng=np.random.Generator(np.random.PCG64(np.random.SeedSequence(row.seed))),
                spool=lambda: self._spool(stack),
                responses=self._responses,
                measured=measured,
            )
            stream = effect.apply(stream, setting)
        return stream

    def _spool(self, stack: ExitStack) -> Spool:
        return stack.enter_context(Spool(self._scratch))

    def _require_done(self) -> None:
        if not self._done:
            raise RunError("the channel's figures are known after its last block")
