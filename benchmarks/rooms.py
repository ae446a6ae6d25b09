"""What one response costs: ours, beside pyroomacoustics in the same run.

One source, one or eight microphones (circle of 10 cm), a room of 7 × 6 × 3 m, 16 kHz, one thread;
CPU time, median of several rooms, everything that belongs to a response included (absorption,
images, tail, correction of the T60), with the bank of diffuse noise made before.

    python benchmarks/rooms.py [--rooms N] [--skip-peers]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from talkover.simulate.config import RoomConfig
from talkover.simulate.decay import measure_t60
from talkover.simulate.emitters import Emitter
from talkover.simulate.plan import RoomPlan
from talkover.simulate.providers import make_provider
from talkover.simulate.rooms import draw_room

RATE = 16000
SIZE = (7.0, 6.0, 3.0)
TIMES = (0.3, 0.6, 0.9)
PEERS = {"pra_ism": 2, "pra_rays": 3, "images": 4}
"""Rooms for the slow ones."""


def draw(kind: str, microphones: str, t60: float, seed: int) -> RoomPlan:
    config = RoomConfig(
        kind=kind,
        t60=(t60, t60),
        length=(SIZE[0], SIZE[0]),
        width=(SIZE[1], SIZE[1]),
        height=(SIZE[2], SIZE[2]),
        microphones=microphones,
    )
    return draw_room(config, ["S01"], np.random.default_rng(seed), sampling_rate=RATE)


def mouth(room: RoomPlan) -> Emitter:
    seat = room.seats[0]
    return Emitter(
        position_m=seat.position_m, facing_deg=seat.facing_deg, directivity=room.directivity
    )


def measure(kind: str, microphones: str, t60: float, rooms: int) -> dict[str, float | str]:
    """Median CPU time of a response in milliseconds, and the T60 that came out."""
    provider = make_provider(kind)
    plans = [draw(kind, microphones, t60, seed) for seed in range(rooms)]
    provider.response(plans[0], mouth(plans[0]), RATE, None)  # tables and the bank of noise
    spent, got = [], []
    for plan in plans:
        start = time.process_time()
        h, _ = provider.response(plan, mouth(plan), RATE, None)
        spent.append(1000 * (time.process_time() - start))
        got.append(measure_t60(h[0], RATE) or float("nan"))
    return {
        "provider": kind,
        "microphones": microphones,
        "t60": t60,
        "cpu_ms": round(statistics.median(spent), 2),
        "t60_measured": round(statistics.median(got), 3),
        "rooms": rooms,
    }


def bare_pyroomacoustics(microphones: str, t60: float) -> dict[str, float | str]:
    """Its own recipe: absorption and order by Sabine's formula, nothing calibrated."""
    import pyroomacoustics as pra

    plan = draw("shoebox", microphones, t60, 0)
    absorption, order = pra.inverse_sabine(t60, SIZE)
    start = time.process_time()
    box = pra.ShoeBox(SIZE, fs=RATE, materials=pra.Material(absorption), max_order=order)
    box.add_source(plan.seats[0].position_m)
    box.add_microphone_array(np.array(plan.microphone_positions_m).T)
    box.compute_rir()
    spent = 1000 * (time.process_time() - start)
    return {
        "provider": "pyroomacoustics (its own recipe)",
        "microphones": microphones,
        "t60": t60,
        "cpu_ms": round(spent, 2),
        "t60_measured": round(measure_t60(box.rir[0][0], RATE) or float("nan"), 3),
        "rooms": 1,
    }


def errors(rooms: int) -> dict[str, float | int]:
    """Relative error of the T60 over random default rooms, first channel."""
    found = []
    provider = make_provider("shoebox")
    for seed in range(rooms):
        config = RoomConfig(t60=(0.2, 1.2))
        plan = draw_room(config, ["S01"], np.random.default_rng(seed), sampling_rate=RATE)
        h, _ = provider.response(plan, mouth(plan), RATE, None)
        assert plan.t60 is not None
        found.append(abs((measure_t60(h[0], RATE) or float("inf")) / plan.t60 - 1))
    return {
        "rooms": rooms,
        "t60_error_median": round(float(np.median(found)), 4),
        "t60_error_p95": round(float(np.quantile(found, 0.95)), 4),
        "t60_error_max": round(float(np.max(found)), 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line of JSON a measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", type=int, default=41, help="rooms of our default")
    parser.add_argument("--skip-peers", action="store_true", help="leave the slow ones out")
    options = parser.parse_args(arguments)
    show: Callable[[dict[str, float | str] | dict[str, float | int]], None] = lambda row: print(  # noqa: E731
        json.dumps(row, ensure_ascii=False), flush=True
    )
    show(errors(200))
    for t60 in TIMES:
        for microphones in ("single", "circular8"):
            show(measure("shoebox", microphones, t60, options.rooms))
            if not options.skip_peers:
                for kind, rooms in PEERS.items():
                    show(measure(kind, microphones, t60, rooms))
                show(bare_pyroomacoustics(microphones, t60))


if __name__ == "__main__":
    main()
