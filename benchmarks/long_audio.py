"""Long recordings in one pass: latency, time to the first turn, peak memory.

::

    python benchmarks/long_audio.py [--minutes 1 10 60 90] [--checkpoint DIR] [--tokens 200]

Without a checkpoint a small model with random weights is made: 12.5 vectors a second, a marker
every 2 s, times of 0.1 s, a context of 131,072. Its words mean nothing; time and memory of hearing
and reading do not depend on that. Each length runs in a process of its own, so that peaks do not
mix.
Time to the first turn is counted from the call to the first complete turn of the stream.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    """Measure every length, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60, 90])
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--tokens", type=int, default=200, help="new tokens at most")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure(options.one, options.checkpoint, options.tokens)))
        return
    rows = [measured_alone(minutes, options) for minutes in options.minutes]
    print("| minutes | positions | hear + read, s | first turn, s | all, s | tokens | peak, MiB |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['minutes']:g} | {row['positions']:,} | {row['prefill']:.1f} | "
            f"{row['first_turn']:.1f} | {row['total']:.1f} | {row['tokens']} | "
            f"{row['peak_mib']:.0f} |"
        )
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf8")


def measured_alone(minutes: float, options: argparse.Namespace) -> dict[str, float]:
    """One length in a process of its own."""
    command = [sys.executable, __file__, "--one", str(minutes), "--tokens", str(options.tokens)]
    if options.checkpoint is not None:
        command += ["--checkpoint", str(options.checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{minutes} min failed:\n{done.stderr}")
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(minutes: float, checkpoint: Path | None, tokens: int) -> dict[str, float]:
    """Hear, read and write one recording of noise with pauses."""
    from talkover.model.inference.pieces import example_of_samples
    from talkover.model.transcribe import DecodeOptions, Transcriber

    model, codec = random_model() if checkpoint is None else loaded(checkpoint)

    class Counted(Transcriber):
        def budget(self, duration: float) -> int:
            return tokens

    transcriber = Counted(model, codec, DecodeOptions(tokens_per_second=0.0, retries=()))
    rate = model.parts.features.sampling_rate
    samples = sound(minutes * 60, rate)
    example = example_of_samples("long", samples, rate)
    positions = len(transcriber.collator.plan(example, with_answer=False))
    transcriber.trie.shortest(b"")
    begin = time.perf_counter()
    first = prefill = None
    stream = transcriber.stream(example)
    while True:
        try:
            next(stream)
        except StopIteration as end:
            answer = end.value
            break
        first = first or time.perf_counter() - begin
    total = time.perf_counter() - begin
    begin = time.perf_counter()
    transcriber._prefilled([example])  # alone, after the memory's peak was reached
    prefill = time.perf_counter() - begin
    return {
        "minutes": minutes,
        "positions": positions,
        "prefill": prefill,
        "first_turn": first or total,
        "total": total,
        "tokens": answer.num_tokens,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def sound(seconds: float, rate: int) -> np.ndarray:
    """Noise that pauses for half a second every five."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(int(seconds * rate), dtype=np.float32) * np.float32(0.05)
    for begin in range(0, len(samples), 5 * rate):
        samples[begin : begin + rate // 2] *= np.float32(0.01)
    return samples


def loaded(checkpoint: Path):  # type: ignore[no-untyped-def]
    """A trained model."""
    from talkover.model.checkpoints import load_model

    return load_model(checkpoint)


def random_model():  # type: ignore[no-untyped-def]
    """A small model at true rates."""
    import torch

    from talkover.model.build import build_model
    from talkover.model.codec import CodecConfig, build_codec
    from talkover.model.config import LmConfig, Parts
    from talkover.model.encoders import EncoderConfig
    from talkover.model.layout import LayoutConfig
    from talkover.model.projectors import ProjectorConfig
    from talkover.model.tokens import AtomConfig

    codec_config = CodecConfig(format="inline", digits=1, vocab_size=400, atoms=AtomConfig())
    parts = Parts(
        semantic=EncoderConfig(
            kind="conv_transformer", options={"width": 64, "channels": [8, 16], "layers": 2}
        ),
        projector=ProjectorConfig(merge=2),
        layout=LayoutConfig(marker="seconds", marker_interval=2.0),
        codec=codec_config,
        lm=LmConfig(
            config={
                "model_type": "qwen3",
                "hidden_size": 64,
                "intermediate_size": 192,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 16,
                "tie_word_embeddings": True,
                "max_position_embeddings": 131072,
            }
        ),
    )
    texts = ["[0.5][S01]one two three[1.3][1.0][S02]four five[2.5]"] * 3
    codec = build_codec(codec_config, texts)
    torch.manual_seed(0)
    units = tuple(sorted({i for w in ("one", "two", "three") for i in codec.encode_text(w)}))
    return build_model(parts, codec, units=units).eval(), codec


if __name__ == "__main__":
    main()
