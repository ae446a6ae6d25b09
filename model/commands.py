"""Commands of the model alone: what a checkpoint hears, and how good that is.

`talkover train` stands in `talkover.cli`, because it can simulate while it trains.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from talkover.manifests.terminal import Json, channel_of, choice_of, print_values, progress_bar


def transcribe(
    audio: Annotated[
        list[Path],
        typer.Argument(metavar="AUDIO…", help="Files of any rate and channels, or folders."),
    ],
    checkpoint: Annotated[Path, typer.Option(help="Folder that `talkover train` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Pieces decoded at a time.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = "auto",
    window: Annotated[
        float | None, typer.Option(help="Seconds heard at a time; default what the model can.")
    ] = None,
    channel: Annotated[str, typer.Option(help="Channel of multichannel audio, or mean.")] = "mean",
    linking: Annotated[
        str, typer.Option(help="Speakers over pieces: auto, register, cluster or labels.")
    ] = "auto",
    overlap: Annotated[
        float | None,
        typer.Option(help="Seconds two pieces share; default 3 in windows of 30 s or more."),
    ] = None,
    speakers: Annotated[
        int | None, typer.Option(min=1, help="In each recording, if known (linking cluster).")
    ] = None,
    word_times: Annotated[bool, typer.Option(help="Times of words, where there is CTC.")] = True,
    registered: Annotated[
        Path | None, typer.Option(help="Known voices: a manifest, or a folder of NAME.wav.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write who said what, when, as sessions, RTTM, STM, SegLST, subtitles and JSON.

    Example: talkover transcribe meeting.wav recordings/ --checkpoint model --out transcribed
    """
    from talkover.model.inference.files import transcribe_files
    from talkover.model.inference.recognize import LINKINGS

    with progress_bar("transcribing", None, quiet=as_json) as advance:
        done = transcribe_files(
            audio,
            checkpoint,
            out,
            batch_size=batch_size,
            device=device,
            window=window,
            channel=channel_of(channel),
            linking=choice_of("--linking", linking, LINKINGS),
            overlap=overlap,
            speakers=speakers,
            word_times=word_times,
            registered=registered,
            progress=advance,
        )
    for row in done.rejected:
        print(f"rejected {row.path}: {row.reason}", file=sys.stderr)
    values = {"out": str(out), "sessions": done.sessions, "seconds": round(done.seconds, 3)}
    counts = {
        "rejected": len(done.rejected),
        "truncated": len(done.truncated),
        "looped": len(done.looped),
    }
    print_values({**values, **counts}, as_json)


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that `talkover train` wrote.")],
    manifests: Annotated[
        list[Path],
        typer.Argument(metavar="MANIFESTS…", help="Folders or files with cuts.jsonl."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for figures, page and hypotheses.")],
    diarizer: Annotated[
        str | None,
        typer.Option(help="RTTM for a cascade in the same table, or the word oracle."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Names with commas; default the usual ones.")
    ] = None,
    strata: Annotated[str, typer.Option(help="Fields with commas.")] = "speakers,overlap",
    tcp_collar: Annotated[float, typer.Option(help="Seconds around a hypothesis word.")] = 5.0,
    der_collar: Annotated[float, typer.Option(help="Seconds on each side of a boundary.")] = 0.0,
    normalizer: Annotated[str, typer.Option(help="default, english, chinese or none.")] = "default",
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Pieces decoded at a time.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = "auto",
    window: Annotated[
        float | None, typer.Option(help="Seconds heard at a time; default what the model can.")
    ] = None,
    constrained: Annotated[bool, typer.Option(help="Only text that the format allows.")] = True,
    registration: Annotated[
        str, typer.Option(help="Whose voices are given: no, match (the speakers) or over.")
    ] = "no",
    distractors: Annotated[
        int, typer.Option(min=0, help="People besides the speakers, for over.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Score a checkpoint on labelled sessions; a page shows reference against hypothesis.

    Example: talkover evaluate model test --out evaluation --diarizer oracle
    """
    from talkover.model.evaluate import evaluate as evaluate_model
    from talkover.model.evaluate_report import systems_table, to_json

    with progress_bar("evaluating", None, quiet=as_json) as advance:
        found = evaluate_model(
            checkpoint,
            manifests,
            out,
            diarizer=diarizer,
            metrics=None if metrics is None else metrics.split(","),
            strata=[name for name in strata.split(",") if name],
            tcp_collar=tcp_collar,
            der_collar=der_collar,
            normalizer=normalizer,
            bootstrap=bootstrap,
            seed=seed,
            batch_size=batch_size,
            device=device,
            window=window,
            constrained=constrained,
            registration=registration,
            distractors=distractors,
            progress=advance,
        )
    for id, reason in found.skipped.items():
        print(f"skipped {id}: {reason}", file=sys.stderr)
    print(to_json(found) if as_json else "\n".join(systems_table(found)))


def plan(
    manifests: Annotated[
        list[Path],
        typer.Argument(metavar="MANIFESTS…", help="Folders or files with cuts.jsonl."),
    ],
    preset: Annotated[str, typer.Option(help="Name of a preset.")] = "tiny",
    config: Annotated[Path | None, typer.Option(help="YAML with changes of the preset.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting: model.codec.digits=1.")
    ] = None,
    gpu_memory: Annotated[float | None, typer.Option(help="GiB of the GPU.")] = None,
    precision: Annotated[str, typer.Option(help="bf16 or fp32.")] = "bf16",
    as_json: Json = False,
) -> None:
    """Count tokens and memory of a preset on sessions: what fits, what does not, and why.

    Example: talkover plan out --preset moss_td --set model.codec.digits=1 --gpu-memory 141
    """
    from talkover.model.budget.memory import BYTES
    from talkover.model.budget.plan import plan_manifests
    from talkover.model.budget.report import plan_json, plan_lines
    from talkover.model.presets import changed_preset

    planned = plan_manifests(
        manifests,
        changed_preset(preset, config, set_ or []),
        gpu_memory=gpu_memory,
        precision=choice_of("--precision", precision, tuple(BYTES)),
    )
    print(plan_json(planned) if as_json else "\n".join(plan_lines(planned)))


def merge_adapters(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that `talkover train` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    adapters: Annotated[
        Path | None,
        typer.Option(help="Folder of peft with more adapters, of the language model."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add LoRA's adapters to the weights under them: the same answers without adapters.

    Example: talkover merge-adapters tuned --out merged
    """
    from talkover.model.merging import merge_adapters as merge

    merged = merge(checkpoint, out, adapters=adapters)
    print_values({"out": str(merged.folder), "adapters": merged.adapters}, as_json)
