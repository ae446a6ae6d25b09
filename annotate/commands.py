"""Commands of the annotator alone.

`talkover annotate-eval` stands in `talkover.cli`, because it can simulate.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from talkover.manifests.terminal import Json, channel_of, choice_of, print_values, progress_bar


def annotate(
    audio: Annotated[
        list[Path],
        typer.Argument(metavar="AUDIO…", help="Files of any rate and channels, or folders."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; nothing is written outside it.")],
    config: Annotated[Path | None, typer.Option(help="YAML with any part of the settings.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="a.b=c", help="One setting.")
    ] = None,
    speakers: Annotated[
        str | None,
        typer.Option(help="N or MIN-MAX, or a CSV or YAML with them by file."),
    ] = None,
    enrol: Annotated[
        Path | None, typer.Option(help="Folder of known voices: NAME.wav or NAME/*.wav.")
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(help="Channel of multichannel audio, mean, or each by itself."),
    ] = None,
    keep: Annotated[
        str, typer.Option(help="Recordings in OUT: link, copy, or reference (they lie below it).")
    ] = "link",
    licence: Annotated[str | None, typer.Option(help="SPDX id of the recordings' licence.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Workers.")] = 1,
    executor: Annotated[str, typer.Option(help="serial, processes or ray.")] = "processes",
    shard: Annotated[
        str | None, typer.Option(metavar="i/n", help="Array job i of n, i from 0.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Results of stages; default OUT/run/cache.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Exit 1 if a file was rejected.")] = False,
    as_json: Json = False,
) -> None:
    """Turn recordings into labelled segments that cut through no word, turn, sound or music.

    Example: talkover annotate recordings/ --out annotated --speakers 2-4 --jobs 2
    """
    from talkover.annotate.config import load_config
    from talkover.annotate.run import annotate_files

    heard = channel if channel in (None, "each") else channel_of(str(channel))
    with progress_bar("annotating", None, quiet=as_json) as advance:
        done = annotate_files(
            audio,
            out,
            config=load_config(config, set_ or [], channel=heard),
            speakers=speakers,
            enrol=enrol,
            keep=choice_of("--keep", keep, ("link", "copy", "reference")),
            licence=licence,
            jobs=jobs,
            executor=executor,
            shard=shard,
            cache=cache,
            progress=advance,
        )
    if done is None:
        print_values({"shard": shard, "finished": True, "run_complete": False}, as_json)
        return
    for row in done.rejected:
        print(f"rejected {row.path}: {row.stage}: {row.reason}", file=sys.stderr)
    counts = {"recordings": done.recordings, "segments": done.segments, "seconds": done.seconds}
    rest = {"rejected": len(done.rejected), "warnings": done.warnings, "flags": done.flags}
    print_values({"out": str(out), **counts, **rest}, as_json)
    if strict and done.rejected:
        raise typer.Exit(1)


def annotate_train(
    manifests: Annotated[
        list[Path],
        typer.Argument(metavar="MANIFESTS…", help="Folders of simulated sessions, at 16 kHz."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; one folder a model.")],
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(help="Sessions of other voices, for thresholds; may be repeated."),
    ] = None,
    test: Annotated[
        list[Path] | None,
        typer.Option(help="Sessions of yet other voices, for scores; may be repeated."),
    ] = None,
    models: Annotated[
        str, typer.Option(help="Which, joined by commas.")
    ] = "segmentation,embedding,tagger",
    config: Annotated[Path | None, typer.Option(help="YAML with any part of the settings.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="a.b=c", help="One setting.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Features of sessions; default OUT/run/cache.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Folder of models of the same sizes to go on from.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train our annotation models on simulated sessions.

    Example: talkover annotate-train train/* --calibrate calibrate --test test --out weights
    """
    from talkover.annotate.models.files import MODEL_KINDS
    from talkover.annotate.training.config import load_training_config
    from talkover.annotate.training.run import TrainingData, train_models

    data = TrainingData(
        train=tuple(manifests), calibrate=tuple(calibrate or ()), test=tuple(test or ())
    )
    done = train_models(
        data,
        out,
        models=[choice_of("--models", name, MODEL_KINDS) for name in models.split(",")],
        config=load_training_config(config, set_ or []),
        seed=seed,
        cache=cache,
        start=start,
    )
    for kind, description in done.items():
        scores = description.training["test"] or "none: give --test"
        print_values(
            {"model": str(out / kind), "version": description.version, "test": scores}, as_json
        )
