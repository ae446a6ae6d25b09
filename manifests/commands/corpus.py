"""Commands of the data contract: check, carry over, describe, split and pack a corpus."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.terminal import Json, choice_of, print_values


def validate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A produced folder, or its cuts.jsonl.")
    ],
    audio: Annotated[bool, typer.Option(help="Also open and hash the audio.")] = True,
    as_json: Json = False,
) -> None:
    """Report every violation of the data contract; exit 1 if there is one.

    Example: talkover validate out
    """
    from talkover.manifests.validate import validate as find_violations

    if not folder.exists():
        raise ManifestError("no such file or folder", path=folder)
    count = 0
    for violation in find_violations(folder, check_audio=audio):
        count += 1
        print(violation.json_line() if as_json else violation.text())
    if count:
        if not as_json:
            print(f"{count} violation{'s' if count > 1 else ''}", file=sys.stderr)
        raise typer.Exit(1)
    if not as_json:
        print("no violation")


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="File or folder to read.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File or folder to write.")],
    from_: Annotated[
        str | None, typer.Option("--from", help="Format; default guessed from name and content.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="Format; default guessed from the name.")] = None,
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Write although labels will be lost.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="List what cannot be read in a file, and go on.")
    ] = False,
    audio: Annotated[
        Path | None, typer.Option(help="Folder of the recordings, SESSION.wav and so on.")
    ] = None,
    absolute_paths: Annotated[
        bool, typer.Option("--absolute-paths", help="Write absolute paths of recordings.")
    ] = False,
    local_speakers: Annotated[
        bool, typer.Option("--local-speakers", help="No speaker is in two sessions.")
    ] = False,
    licence: Annotated[
        str | None, typer.Option(help="SPDX id for sessions that come without one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Carry labels and recordings into another format; what it cannot hold is said.

    Formats: lhotse, lhotse-pair, rttm, stm, ctm, words, seglst, uem, textgrid, audacity, srt, vtt,
    kaldi, nemo, parquet, datasets, moss, tagspeech.

    Example: talkover convert meetings.rttm out --audio recordings/
    """
    from talkover.manifests.convert import convert as run

    done = run(
        source,
        target,
        from_=from_,
        to=to,
        allow_loss=allow_loss,
        skip_bad=skip_bad,
        audio=audio,
        absolute_paths=absolute_paths,
        local_speakers=local_speakers,
        licence=licence,
    )
    for loss in done.lost:
        print(f"{'lost' if loss.blocks else 'not held'}: {loss.text()}", file=sys.stderr)
    for error in done.rejected:
        print(f"rejected: {error}", file=sys.stderr)
    if as_json:
        print_values(done.plain(), as_json)
        return
    print(
        f"{target}: {done.sessions} sessions, {done.utterances} utterances, "
        f"{done.source_format} to {done.target_format}"
    )


def card(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR…", help="Produced folders.")],
    out: Annotated[Path, typer.Option(help="Gets croissant.json and README.md.")],
    name: Annotated[str | None, typer.Option(help="Of the data set; default OUT's name.")] = None,
    collection: Annotated[
        bool, typer.Option("--collection", help="Let each session keep a licence of its own.")
    ] = False,
    allow_unstated: Annotated[
        bool, typer.Option("--allow-unstated", help="Accept sources without a known licence.")
    ] = False,
    creator: Annotated[str | None, typer.Option(help="Who publishes the data set.")] = None,
    url: Annotated[str | None, typer.Option(help="Where it is published.")] = None,
    version: Annotated[str, typer.Option(help="Of the data set.")] = "1.0.0",
    date: Annotated[str | None, typer.Option(help="Of publication, as 2026-11-21.")] = None,
    as_json: Json = False,
) -> None:
    """Describe a data set: a Croissant 1.1 file and a page, with its licence and whom to name.

    Example: talkover card out --out card --name "Ten talks" --creator "A. Person"
    """
    from talkover.manifests.card import CardOptions, write_card

    options = CardOptions(
        name=name,
        collection=collection,
        allow_unstated=allow_unstated,
        creator=creator,
        url=url,
        version=version,
        date=date,
    )
    print_values(write_card(folders, out, options).plain(), as_json)


def split(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A produced folder.")],
    out: Annotated[Path, typer.Option(help="Gets one folder a split.")],
    fractions: Annotated[
        str, typer.Option(help="Names and shares.")
    ] = "train=0.8,dev=0.1,test=0.1",
    mode: Annotated[
        str, typer.Option(help="hash (stable when the corpus grows) or components (drops nothing).")
    ] = "hash",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Split a corpus so that no speaker, utterance, recording, room or noise is in two splits.

    Example: talkover split out --out splits --mode components
    """
    from talkover.manifests.io import read_sessions
    from talkover.manifests.split_files import write_split
    from talkover.manifests.splits import plan_split

    plan = plan_split(
        read_sessions(folder),
        fractions=_fractions(fractions),
        seed=seed,
        mode=choice_of("--mode", mode, ("hash", "components")),
    )
    counts = write_split(folder, out, plan)
    print_values({"sessions": dict(counts), "dropped": len(plan.dropped)}, as_json)


def _fractions(text: str) -> dict[str, float]:
    """``train=0.8,test=0.2`` as a mapping."""
    shares = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            raise ConfigurationError(
                f"--fractions takes NAME=SHARE,…, such as train=0.9,test=0.1: {text!r}"
            ) from None
    return shares


def shard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A produced folder.")],
    out: Annotated[str, typer.Option(help="Folder or URL, such as s3://bucket/train.")],
    format: Annotated[str, typer.Option(help="shar (Lhotse) or webdataset.")] = "shar",
    shard_size: Annotated[str, typer.Option(help="Sessions, or bytes such as 256MB.")] = "256MB",
    jobs: Annotated[int, typer.Option(min=1, help="Workers.")] = 1,
    executor: Annotated[str, typer.Option(help="serial, processes or ray.")] = "processes",
    as_json: Json = False,
) -> None:
    """Pack a corpus into few large files with an index.

    Example: talkover shard out --out shards --format webdataset --jobs 4
    """
    from talkover.manifests.shards import shard as write

    result = write(
        folder,
        out,
        format=choice_of("--format", format, ("shar", "webdataset")),
        shard_size=int(shard_size) if shard_size.isdigit() else shard_size,
        jobs=jobs,
        executor=executor,
    )
    print_values(result, as_json)


def doctor(
    deep: Annotated[bool, typer.Option(help="Really import every optional package.")] = False,
    as_json: Json = False,
) -> None:
    """Say what works on this machine, and how to mend what does not.

    Example: talkover doctor --deep
    """
    from talkover.manifests.doctor import examine

    checks = examine(deep=deep)
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "status", "detail", "how to mend it")
    for check in checks:
        colour = {"ok": "green", "missing": "yellow", "broken": "red"}[check.status]
        table.add_row(check.name, f"[{colour}]{check.status}[/]", check.detail, check.remedy or "")
    Console().print(table)
    if any(check.required and check.status != "ok" for check in checks):
        raise typer.Exit(1)
