"""The command that makes sessions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talkover.manifests.terminal import (
    Json,
    channel_of,
    choice_of,
    print_values,
    progress_bar,
    range_of,
)

if TYPE_CHECKING:
    from talkover.simulate.summary import Summary


def simulate(
    corpora: Annotated[
        list[str],
        typer.Argument(
            metavar="CORPUS…",
            help="Lhotse manifests, a CSV or TSV of utterances, a folder speaker/…/utterance.wav, "
            "a Kaldi data directory, or the word embedded.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; nothing is written outside it.")],
    hours: Annotated[float | None, typer.Option(help="Hours of audio to make.")] = None,
    sessions: Annotated[
        int | None, typer.Option(help="Sessions to make; 10 if no amount is given.")
    ] = None,
    speakers: Annotated[
        str | None, typer.Option(help="N or MIN-MAX in a session; default from the turn-taking.")
    ] = None,
    turns: Annotated[
        str | None, typer.Option(help="Turn-taking preset, fitted file, or moss_td.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Settings for a task: asr, diarization or moss_td.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML with any part of the settings.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="a.b=c", help="One setting.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Workers.")] = 1,
    executor: Annotated[str, typer.Option(help="serial, processes or ray.")] = "processes",
    shard: Annotated[
        str | None, typer.Option(metavar="i/n", help="Array job i of n, i from 0.")
    ] = None,
    stems: Annotated[bool, typer.Option(help="Also write each speaker and the noise.")] = False,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Also write each speaker early, direct or dry; may be repeated."
        ),
    ] = None,
    format: Annotated[str, typer.Option(help="flac or wav.")] = "flac",
    channel: Annotated[
        str, typer.Option(help="Channel of multichannel sources, or mean.")
    ] = "mean",
    cache: Annotated[
        Path | None, typer.Option(help="Decoded sources; default OUT/run/cache.")
    ] = None,
    plan_only: Annotated[
        bool, typer.Option(help="Write plans.jsonl and the label files, and no audio.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be made; write nothing.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit 1 if a target was missed.")] = False,
    as_json: Json = False,
) -> None:
    """Make multi-talker sessions with exact labels out of single-speaker speech.

    Example: talkover simulate embedded --out out --hours 0.1 --speakers 2-4 --jobs 2
    """
    from talkover.simulate.config import load_config
    from talkover.simulate.plan_tally import PlanTally
    from talkover.simulate.request import RunRequest, estimate
    from talkover.simulate.run import plan_only as write_plans
    from talkover.simulate.run import prepare, render_run
    from talkover.simulate.session import OutputFormat

    request = RunRequest(
        out=out,
        corpora=tuple(corpora),
        config=load_config(
            config,
            set_ or [],
            preset=preset,
            session__speakers=range_of("--speakers", speakers),
            turns__model=turns,
        ),
        seed=seed,
        hours=hours,
        sessions=sessions,
        output=OutputFormat.model_validate(
            {
                "format": choice_of("--format", format, ("flac", "wav")),
                "stems": stems,
                "targets": tuple(
                    choice_of("--target", name, ("early", "direct", "dry")) for name in target or ()
                ),
            }
        ),
        channel=channel_of(channel),
        cache=cache,
    )
    if dry_run:
        print_values(estimate(request, jobs=jobs), as_json)
        return
    run = prepare(request, executor=executor, jobs=jobs)
    if plan_only:
        tally = PlanTally(request.config)
        path = write_plans(run, tally)
        missed, reduced = tally.breaches, run.planner.shortfalls
        values = {"plans": str(path), "sessions": run.num_sessions}
        found = {"missed": missed, "shortfalls": reduced}
        shown = {name: "; ".join(lines) for name, lines in found.items() if lines}
        print_values(values | (found if as_json else shown), as_json)
        if strict and (missed or reduced):
            raise typer.Exit(1)
        return
    with progress_bar("simulating", run.asked_seconds, quiet=as_json) as advance:
        summary = render_run(run, executor=executor, jobs=jobs, shard=shard, progress=advance)
    if summary is None:
        print_values({"shard": shard, "finished": True, "run_complete": False}, as_json)
        return
    _print_summary(summary, out, as_json)
    if strict and summary.breaches:
        raise typer.Exit(1)


def _print_summary(summary: Summary, out: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"out": str(out), **summary.plain()}, ensure_ascii=False))
        return
    print(
        f"{out}: {summary.sessions} sessions, {summary.hours:.2f} h, {summary.speakers} speakers, "
        f"{summary.turns} turns ({summary.without_text} supervisions without text)"
    )
    for figure in summary.figures:
        if figure.asked:
            asked = sum(figure.asked) / len(figure.asked)
            got = sum(figure.got) / len(figure.got)
            state = "" if figure.holds else "  MISSED"
            verb = "drawn" if figure.is_drawn else "asked"
            print(f"  {figure.name} ({figure.unit}): {verb} {asked:.3f}, got {got:.3f}{state}")
    for line in summary.shortfalls:
        print(f"  {line}  REDUCED")
    said, unmatched = summary.script_lines
    if said or unmatched:
        print(f"  script: {said} utterances said, {unmatched} lines without one")
    total = sum(summary.rejected.values())
    print(f"  rejected utterances: {total}")
    for reason, count in summary.rejected.items():
        print(f"    {count} × {reason}")
