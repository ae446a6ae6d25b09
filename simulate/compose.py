"""First pass of rendering: all signals of a session before the mix, and the gains of the mix.

::

    sources ─► dry tracks ─► convolution ─► speech, stems ─► spools, power over active frames, peak
    noise ─────────────────────────────────────────────────► spool,  power over active frames, peak
                                  then: noise gain from the asked SNR, one gain for headroom

Legend: ``C`` channel, ``T`` sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import RunError
from talkover.simulate.convolve import block_size, convolve
from talkover.simulate.levels import ActivePower, active_frames, headroom_gain, noise_gain
from talkover.simulate.noise import NoiseCollection, noise_blocks
from talkover.simulate.plan import SessionPlan
from talkover.simulate.responses import Responses
from talkover.simulate.spool import Spool
from talkover.simulate.tracks import Sources, SpeakerTrack

Samples = NDArray[np.float32]  # [C, T]

SILENT_POWER = 1e-10
"""Mean square at or below this is silence: -100 dBFS, below the rounding of 16 bit."""


class Composition:
    """The signals of a session, ready to be mixed; use it in a ``with`` statement.

    Args:
        plan: What to render.
        sources: The utterances that it places.
        responses: Of the plan's room.
        active: Start and end in samples of label activity, shape ``[N, 2]``.
        noises: The collection that an ambient noise is from.
        stems: Keep each speaker's signal.
        scratch: Folder for the signals; None keeps them in memory.

    Raises:
        RunError: If the plan has no active speech, or its noise is silent.
    """

    def __init__(
        self,
        plan: SessionPlan,
        sources: Sources,
        responses: Responses,
        *,
        active: NDArray[np.int64],
        noises: NoiseCollection | None,
        stems: bool,
        scratch: Path | None,
    ) -> None:
        """Convolve everything."""
        self.plan = plan
        self.frames = active_frames(active, plan.num_samples, plan.sampling_rate)
        self._lengths: list[int] = []
        self._stack = ExitStack()
        self._speech = self._spool(scratch)
        self._stems = (
            {speaker.speaker_local: self._spool(scratch) for speaker in plan.speakers}
            if stems
            else {}
        )
        self._noise = None if plan.noise is None else self._spool(scratch)
        self._noise_gain, self._gain = 0.0, 1.0
        try:
            speech_power, speech_peak = self._add_speech(sources, responses)
            if self._noise is not None:
                self._add_noise(self._noise, block_size(responses.h.shape[2]), noises, speech_power)
            self._gain = headroom_gain(self._peak(speech_peak), plan.peak_dbfs)
        except BaseException:
            self._stack.close()
            raise

    @property
    def gain(self) -> float:
        """Headroom gain of the whole mix, at most 1; part of every signal that this gives."""
        return self._gain

    @property
    def stem_names(self) -> tuple[str, ...]:
        """Local speakers that `stem` knows."""
        return tuple(self._stems)

    def blocks(self) -> Iterator[tuple[Samples, Samples | None]]:
        """Speech and noise block by block, after all gains; their sum is the mixture."""
        yield from zip(self.speech(), self.noise(), strict=True)

    def speech(self) -> Iterator[Samples]:
        """The sum of all speakers block by block, after all gains."""
        yield from self._scaled(self._speech, self._gain)

    def stem(self, local: str) -> Iterator[Samples]:
        """A speaker block by block, after all gains."""
        yield from self._scaled(self._stems[local], self._gain)

    def noise(self) -> Iterator[Samples | None]:
        """The noise block by block, after all gains; None where the plan has none."""
        if self._noise is None:
            yield from (None,) * len(self._lengths)
        else:
            yield from self._scaled(self._noise, self._noise_gain * self._gain)

    def __enter__(self) -> Self:
        """For use in a ``with`` statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give back memory and scratch files."""
        self._stack.close()

    def _spool(self, scratch: Path | None) -> Spool:
        return self._stack.enter_context(Spool(scratch))

    def _scaled(self, spool: Spool, gain: float) -> Iterator[Samples]:
        factor = np.float32(gain)
        for length, block in zip(self._lengths, spool, strict=True):
            if block is None:
                yield np.zeros((self.plan.room.num_channels, length), dtype=np.float32)
            else:
                yield block * factor

    def _add_speech(self, sources: Sources, responses: Responses) -> tuple[float, float]:
        """Convolve all speakers; power over active frames and peak of their sum."""
        plan = self.plan
        tracks = [
            SpeakerTrack(
                [p for p in plan.placements if p.speaker_local == seat.speaker_local],
                sources,
                plan.sampling_rate,
            )
            for seat in plan.room.seats
        ]
        names = [seat.speaker_local for seat in plan.room.seats]
        meter, peak = ActivePower(self.frames), 0.0
        for block in convolve(tracks, responses.h, plan.num_samples, stems=bool(self._stems)):
            self._lengths.append(block.speech.shape[1])
            self._speech.append(block.speech)
            meter.add(block.speech[0])
            peak = max(peak, _largest(block.speech))
            for name, stem in zip(names, block.stems, strict=False):
                self._stems[name].append(stem)
        if not meter.num_samples:
            raise RunError(f"session {plan.session_id}: its labels have no active speech")
        if meter.power <= SILENT_POWER:
            raise RunError(f"session {plan.session_id}: silent wherever its labels have speech")
        return meter.power, peak

    def _add_noise(
        self,
        spool: Spool,
        block_samples: int,
        noises: NoiseCollection | None,
        speech_power: float,
    ) -> None:
        """Keep the noise, and find the gain that gives the asked SNR."""
        plan, meter = self.plan, ActivePower(self.frames)
        assert plan.noise is not None
        for block in noise_blocks(
            plan.noise,
            num_channels=plan.room.num_channels,
            num_samples=plan.num_samples,
            block_samples=block_samples,
            sampling_rate=plan.sampling_rate,
            collection=noises,
        ):
            spool.append(block)
            meter.add(block[0])
        if meter.power <= SILENT_POWER:
            name = plan.noise.clip or plan.noise.kind
            raise RunError(
                f"session {plan.session_id}: noise {name!r} is silent wherever there is speech, "
                "so no gain gives the asked SNR"
            )
        self._noise_gain = noise_gain(speech_power, meter.power, plan.noise.snr_db)

    def _peak(self, speech_peak: float) -> float:
        """Peak of speech and noise together."""
        if self._noise is None:
            return speech_peak
        return max(_largest(speech + noise) for speech, noise in self.blocks() if noise is not None)


def _largest(block: Samples) -> float:
    return max(float(block.max()), -float(block.min()))
