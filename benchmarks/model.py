"""Speed and memory of the `tiny` preset: training, decoding, and what the grammar costs.

    python benchmarks/model.py [--runs 3] [--device cpu]

Data are noise with made-up turns, so that it needs no corpus: eight recordings of 8 s a batch,
three turns of three words each. Prints JSON: updates a second and target tokens a second of
training, × real time of decoding free and constrained (random weights, 40 tokens a recording), and
the peak memory of the process (MiB; on a GPU that of the device). Medians; CPU time on a CPU, wall
time on a GPU.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from talkover.manifests.serialize import Transcript, Turn, serializer
from talkover.model.batch import Batch
from talkover.model.codec import SatsCodec
from talkover.model.data.collate import Collator
from talkover.model.data.examples import Example, Voice
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.presets import preset
from talkover.model.run import Surveyed, make_model
from talkover.model.stages import LOSSES
from talkover.model.transcribe import DecodeOptions, Transcriber

RATE = 16000
SECONDS = 8.0
ROWS = 8
TOKENS = 40
"""New tokens of each recording in decoding: random weights would go on for ever."""
WORDS = [f"word{number}" for number in range(40)]


def examples() -> list[Example]:
    """Noise with three turns of two speakers."""
    rng = np.random.default_rng(0)
    made = []
    for row in range(ROWS):
        turns = tuple(
            Turn(
                speaker=f"S{1 + n % 2:02d}",
                text=" ".join(rng.choice(WORDS, 3)),
                start=0.5 + 2.4 * n,
                end=2.5 + 2.4 * n,
            )
            for n in range(3)
        )
        voices = tuple(
            Voice(speaker=name, spans=tuple((t.start or 0, t.end or 0) for t in turns[k::2]))
            for k, name in enumerate(("ana", "bo"))
        )
        samples = rng.standard_normal(int(SECONDS * RATE)).astype(np.float32) * 0.1
        made.append(
            Example(
                id=f"{row}",
                samples=samples,
                duration=SECONDS,
                transcript=Transcript(turns=turns),
                voices=voices,
            )
        )
    return made


def build(rows: list[Example]) -> tuple[SatsModel, SatsCodec]:
    """The preset for these words."""
    form = serializer("inline", digits=1)
    texts = tuple(form.encode(row.transcript) for row in rows)
    found = Surveyed(texts=texts, speakers=("ana", "bo"), words=tuple(WORDS))
    return make_model(preset("tiny"), found)


def seconds_of(work: Callable[[], object], runs: int, device: str) -> float:
    """Median seconds of some runs, after one that does not count."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    found = []
    for _ in range(runs + 1):
        begun = clock()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        found.append(clock() - begun)
    return statistics.median(found[1:])


def update(model: SatsModel, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    output = model(batch, LOSSES)
    sum(loss.mean for loss in output.losses.values()).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def memory(device: str) -> float:
    """Peak so far, MiB."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return torch.cuda.max_memory_allocated() / 2**20


def measure(runs: int, device: str) -> dict[str, float | int | str]:
    torch.set_num_threads(1)
    rows = examples()
    model, codec = build(rows)
    model.to(device).train()
    batch = Collator(model, codec, vocabulary_of(codec))(rows).to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    step = seconds_of(lambda: update(model, optimizer, batch), runs, device)
    result: dict[str, float | int | str] = {
        "device": device,
        "parameters": sum(p.numel() for p in model.parameters()),
        "positions": int((batch.kinds > 0).sum()) // ROWS,
        "updates_per_second": round(1 / step, 2),
        "target_tokens_per_second": round(model.counts(batch)["answer"] / step, 1),
        "training_x_real_time": round(ROWS * SECONDS / step, 1),
    }
    for constrained in (False, True):
        options = DecodeOptions(constrained=constrained, tokens_per_second=0.0, batch_size=ROWS)
        transcriber = Transcriber(model, codec, options)
        transcriber.budget = lambda duration: TOKENS  # type: ignore[method-assign]
        spent = seconds_of(lambda t=transcriber: t.answers(rows), runs, device)  # type: ignore[misc]
        name = "constrained" if constrained else "free"
        result[f"decoding_{name}_x_real_time"] = round(ROWS * SECONDS / spent, 1)
    result["peak_memory_mib"] = round(memory(device))
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    print(json.dumps(measure(given.runs, given.device), indent=1))
