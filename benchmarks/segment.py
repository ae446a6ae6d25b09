"""What segmentations cut through: ours beside the rules of other tools, on the same timelines.

    python benchmarks/segment.py [--hours 3] [--seed 0] [--json FILE]

Events are known exactly (oracle), so only the rule is compared, no detector. Two kinds of one-hour
timelines: *meeting* (turn-taking sampled from the preset `ami`, words inside the turns, two sounds
a minute) and *movie* (dialogues of 0.5 to 4 minutes between scenes without speech, six sounds a
minute, pieces of music of 10 to 90 s over two fifths of the time). The rivals' rules are written
anew from what their code does (whisperX 3.8: voice activity merged greedily up to 30 s;
Emilia-Pipe: one speaker, gaps under 2 s joined, 3 to 30 s, hard cuts each 30 s; and fixed
windows). Times are CPU seconds of one core per hour of audio, median over the timelines.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

from talkover.annotate.events import Event, Timeline, sorted_events
from talkover.annotate.segmentation.config import SegmentationConfig
from talkover.annotate.segmentation.stream import segment
from talkover.manifests.score.cuts import count_crossed
from talkover.manifests.score.spans import join_spans
from talkover.simulate.turn_sampling import sample_sessions
from talkover.simulate.turn_targets import Targets
from talkover.simulate.turns import TurnModel

RATE = 16000
HOUR = 3600.0
KINDS = ("word", "turn", "sound", "music")
Rule = Callable[[Timeline], list[float]]


def turns_of(seed: int, seconds: float, rng: np.random.Generator) -> list[Event]:
    """A conversation of the preset `ami` with words in its turns."""
    model = TurnModel.load("ami")
    _, units = next(iter(sample_sessions(model, 0.01, seed=seed, targets=Targets(length=seconds))))
    events = []
    for number, unit in enumerate(units):
        start, end = round(unit.start * RATE), round(min(unit.end, seconds) * RATE)
        if end <= start:
            continue
        name = f"t{seed}-{number}"
        events.append(
            Event(id=name, kind="turn", start=start, end=end, speaker=f"S{unit.speaker + 1:02d}")
        )
        lengths = rng.lognormal(np.log(0.25), 0.4, 400)  # syllables to long words, median 0.25 s
        edges = start + np.round(np.cumsum(lengths) * RATE).astype(int)
        edges = np.concatenate([[start], edges[edges < end - RATE // 20], [end]])
        events += [
            Event(id=f"{name}-{k}", kind="word", start=int(a), end=int(b), parent=name)
            for k, (a, b) in enumerate(pairwise(edges))
        ]
    return events


def sounds(rng: np.random.Generator, per_minute: float) -> list[Event]:
    """Sounds at random times, median 1.2 s."""
    events = []
    for number in range(rng.poisson(per_minute * HOUR / 60)):
        start = int(rng.uniform(0, HOUR - 12) * RATE)
        length = int(min(12.0, rng.lognormal(np.log(1.2), 0.8)) * RATE)
        events.append(Event(id=f"s{number}", kind="sound", start=start, end=start + length + 1))
    return events


def meeting(seed: int) -> Timeline:
    """An hour of a meeting."""
    rng = np.random.default_rng([seed, 0])
    return _timeline(turns_of(seed, HOUR, rng) + sounds(rng, 2.0))


def movie(seed: int) -> Timeline:
    """An hour of a movie."""
    rng = np.random.default_rng([seed, 1])
    events = sounds(rng, 6.0)
    time_, scene = 0.0, 0
    while time_ < HOUR - 60:
        length = rng.uniform(30, min(240, HOUR - time_))
        shift = round(time_ * RATE)
        for event in turns_of(1000 * seed + scene, length, rng):
            events.append(_moved(event, shift, f"c{scene}-"))
        time_ += length + rng.uniform(2, 40)
        scene += 1
    time_, piece = 0.0, 0
    while time_ < HOUR - 100:
        time_ += rng.uniform(10, 120)
        length = rng.uniform(10, 90)
        start, end = round(time_ * RATE), round(min(HOUR, time_ + length) * RATE)
        if start < end:
            events.append(Event(id=f"m{piece}", kind="music", start=start, end=end))
        time_ += length
        piece += 1
    return _timeline([e for e in events if e.end <= HOUR * RATE])


def _moved(event: Event, shift: int, prefix: str) -> Event:
    return Event(
        id=prefix + event.id,
        kind=event.kind,
        start=event.start + shift,
        end=event.end + shift,
        speaker=event.speaker,
        parent=None if event.parent is None else prefix + event.parent,
    )


def _timeline(events: list[Event]) -> Timeline:
    kept = {e.id for e in events}
    whole = [e for e in events if e.parent is None or e.parent in kept]
    return Timeline(sampling_rate=RATE, num_samples=round(HOUR * RATE), events=sorted_events(whole))


def ours(shortest: float, preferred: float, longest: float) -> Rule:
    """Dynamic programming over all branches."""
    config = SegmentationConfig(
        shortest=shortest, preferred=preferred, longest=longest, oversize=2 * longest
    )
    return lambda line: [s.end / RATE for s in segment("r", line, config)[:-1]]


def fixed(seconds: float) -> Rule:
    """Windows of one length."""
    return lambda line: np.arange(seconds, HOUR, seconds).tolist()


def _speech(line: Timeline) -> list[tuple[float, float]]:
    turns = [(e.start / RATE, e.end / RATE) for e in line.events if e.kind == "turn"]
    return [(float(a), float(b)) for a, b in join_spans(turns)]


def whisperx_style(line: Timeline, longest: float = 30.0) -> list[float]:
    """Voice activity regions merged greedily; longer ones cut in equal parts."""
    cuts: list[float] = []
    begin: float | None = None
    last = 0.0
    for start, end in _speech(line):
        if begin is not None and end - begin > longest:
            cuts += [begin, last]
            begin = None
        if begin is None:
            begin = start
        while end - begin > longest:
            begin += longest
            cuts.append(begin)
        last = end
    return sorted({*cuts, *([] if begin is None else [begin, last])})


def emilia_style(line: Timeline, longest: float = 30.0, join: float = 2.0) -> list[float]:
    """Turns of one speaker joined over short gaps; a change of speaker is a cut."""
    cuts: list[float] = []
    begin, last, who = 0.0, 0.0, None
    for turn in (e for e in line.events if e.kind == "turn"):
        start, end = turn.start / RATE, turn.end / RATE
        if turn.speaker != who or start - last > join:
            cuts += [] if who is None else [begin, last]
            begin, who = start, turn.speaker
        while end - begin > longest:
            begin += longest
            cuts.append(begin)
        last = max(last, end)
    return sorted({*cuts, begin, last})


RULES: dict[str, Rule] = {
    "fixed 10 s": fixed(10.0),
    "fixed 30 s": fixed(30.0),
    "Emilia-style": emilia_style,
    "whisperX-style": whisperx_style,
    "talkover 5-15-30 s": ours(5.0, 15.0, 30.0),
    "talkover 5-20-60 s": ours(5.0, 20.0, 60.0),
    "talkover 5-30-120 s": ours(5.0, 30.0, 120.0),
}


def cut_shares(line: Timeline, cuts: list[float]) -> dict[str, float]:
    """Share of the events of each kind that have a cut inside."""
    shares = {}
    for kind in KINDS:
        spans = [(e.start / RATE, e.end / RATE) for e in line.events if e.kind == kind]
        shares[kind] = count_crossed(cuts, spans) / len(spans) if spans else float("nan")
    return shares


def measure(hours: int, seed: int) -> list[dict[str, object]]:
    """A row per kind of timeline and rule."""
    rows: list[dict[str, object]] = []
    for name, make in (("meeting", meeting), ("movie", movie)):
        lines = [make(seed + n) for n in range(hours)]
        for rule_name, rule in RULES.items():
            shares, times, lengths = [], [], []
            for line in lines:
                begun = time.process_time()
                cuts = rule(line)
                times.append(time.process_time() - begun)
                shares.append(cut_shares(line, cuts))
                lengths += np.diff([0.0, *cuts, HOUR]).tolist()
            rows.append(
                {
                    "timeline": name,
                    "rule": rule_name,
                    **{kind: float(np.mean([s[kind] for s in shares])) for kind in KINDS},
                    "median_length": statistics.median(lengths),
                    "longest": max(lengths),
                    "cpu_seconds": statistics.median(times),
                }
            )
    return rows


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=int, default=3, help="timelines of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = measure(options.hours, options.seed)
    print("| timeline | rule | words % | turns % | sounds % | music % | median s | CPU s/h |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        shares = " | ".join(
            "–" if np.isnan(float(str(row[kind]))) else f"{100 * float(str(row[kind])):.2f}"
            for kind in KINDS
        )
        print(
            f"| {row['timeline']} | {row['rule']} | {shares} | {row['median_length']:.1f} | "
            f"{row['cpu_seconds']:.2f} |"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
