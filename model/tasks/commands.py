"""Commands of the instruction tasks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from talkover.manifests.terminal import Json, print_values, progress_bar


def instruct(
    manifests: Annotated[
        list[Path],
        typer.Argument(metavar="MANIFESTS…", help="Folders or files with cuts.jsonl."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File, for one manifest; default instructions.jsonl beside each."),
    ] = None,
    tasks: Annotated[
        str, typer.Option(help="Names with commas.")
    ] = "words,sentences,caption,who,when,span,count,first",
    questions: Annotated[int, typer.Option(min=1, help="Of each kind about a window.")] = 1,
    longest: Annotated[float, typer.Option(help="Seconds of a window.")] = 30.0,
    digits: Annotated[int, typer.Option(min=0, max=3, help="After the point of a time.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same rows.")] = 0,
    as_json: Json = False,
) -> None:
    """Make instruction rows (stamped transcriptions, captions, questions) from labelled sessions.

    Example: talkover instruct out --questions 2
    """
    from talkover.model.tasks.files import instruct as write_instructions

    names = [name.strip() for name in tasks.split(",") if name.strip()]
    done = write_instructions(
        manifests,
        out,
        tasks=names,
        questions=questions,
        longest=longest,
        digits=digits,
        seed=seed,
    )
    print_values({"files": [str(file) for file in done.files], "rows": dict(done.rows)}, as_json)


def instruct_eval(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that `talkover train` wrote.")],
    manifests: Annotated[
        list[Path],
        typer.Argument(metavar="MANIFESTS…", help="With instructions.jsonl beside cuts.jsonl."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for figures and answers.")],
    tasks: Annotated[str | None, typer.Option(help="Names with commas; default all.")] = None,
    normalizer: Annotated[str, typer.Option(help="default, english, chinese or none.")] = "default",
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows answered at a time.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = "auto",
    as_json: Json = False,
) -> None:
    """Score a checkpoint's answers: shift of stamps, grounding, right answers.

    Example: talkover instruct-eval model test --out answers
    """
    from talkover.manifests.score.answer_result import answers_json, answers_table
    from talkover.model.tasks.evaluate import evaluate_rows

    with progress_bar("answering", None, quiet=as_json) as advance:
        found = evaluate_rows(
            checkpoint,
            manifests,
            out,
            tasks=None if tasks is None else [name.strip() for name in tasks.split(",")],
            normalizer=normalizer,
            bootstrap=bootstrap,
            seed=seed,
            batch_size=batch_size,
            device=device,
            progress=advance,
        )
    for id, reason in found.failed.items():
        print(f"no answer {id}: {reason}", file=sys.stderr)
    print(answers_json(found.result) if as_json else "\n".join(answers_table(found.result)))
