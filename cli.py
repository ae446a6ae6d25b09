"""The command line: each command parses, calls one library function and prints.

Commands of one part alone live with it (`talkover.model.commands`); those that need two stand here.
Errors that a person can mend are one line on stderr and exit code 1. Imports stand inside the
commands, so that `talkover --help` is instant.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkover.manifests.errors import (
    ConfigurationError,
    ManifestError,
    MissingExtraError,
    TalkoverError,
)
from talkover.manifests.terminal import Json
from talkover.manifests.terminal import channel_of as _channel
from talkover.manifests.terminal import choice_of as _choice
from talkover.manifests.terminal import print_values as _print
from talkover.manifests.terminal import progress_bar as _progress
from talkover.model import commands as model_commands
from talkover.model.importing import commands as import_commands
from talkover.model.tasks import commands as task_commands

if TYPE_CHECKING:
    from talkover.manifests.audit import Audit
    from talkover.simulate.summary import Summary

app = typer.Typer(
    name="talkover",
    help="Make, check, score and learn from multi-talker speech: who said what, when.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
turns_app = typer.Typer(
    help="Turn-taking: fit it on real labels, look at it, sample it.", no_args_is_help=True
)
app.add_typer(turns_app, name="turns")

app.command()(model_commands.transcribe)
app.command()(model_commands.evaluate)
app.command()(model_commands.plan)
app.command()(task_commands.instruct)
app.command("instruct-eval")(task_commands.instruct_eval)
app.command("import-checkpoint")(import_commands.import_checkpoint)


EXTRAS = {
    "accelerate": "model",
    "onnxruntime": "annotate",
    "peft": "model",
    "pyannote": "annotate",
    "safetensors": "model",
    "tensorboard": "model",
    "tokenizers": "model",
    "transformers": "model",
}
"""Which extra brings a package that whole parts need."""


def main() -> None:
    """Run the command line; an expected error is one line and exit code 1."""
    try:
        app()
    except TalkoverError as error:
        print(f"talkover: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        print(f"talkover: {MissingExtraError(package, EXTRAS[package], 'this')}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("talkover: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"talkover: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)


@app.command()
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
    from talkover.simulate.run import RunRequest, estimate, prepare, render_run
    from talkover.simulate.run import plan_only as write_plans
    from talkover.simulate.session import OutputFormat

    request = RunRequest(
        out=out,
        corpora=tuple(corpora),
        config=load_config(
            config,
            set_ or [],
            preset=preset,
            session__speakers=_speakers(speakers),
            turns__model=turns,
        ),
        seed=seed,
        hours=hours,
        sessions=sessions,
        output=OutputFormat.model_validate(
            {
                "format": _choice("--format", format, ("flac", "wav")),
                "stems": stems,
                "targets": tuple(
                    _choice("--target", name, ("early", "direct", "dry")) for name in target or ()
                ),
            }
        ),
        channel=_channel(channel),
        cache=cache,
    )
    if dry_run:
        _print(estimate(request, jobs=jobs), as_json)
        return
    run = prepare(request, executor=executor, jobs=jobs)
    if plan_only:
        tally = PlanTally(request.config)
        path = write_plans(run, tally)
        missed, reduced = tally.breaches, run.planner.shortfalls
        values = {"plans": str(path), "sessions": run.num_sessions}
        found = {"missed": missed, "shortfalls": reduced}
        shown = {name: "; ".join(lines) for name, lines in found.items() if lines}
        _print(values | (found if as_json else shown), as_json)
        if strict and (missed or reduced):
            raise typer.Exit(1)
        return
    with _progress("simulating", run.asked_seconds, quiet=as_json) as advance:
        summary = render_run(run, executor=executor, jobs=jobs, shard=shard, progress=advance)
    if summary is None:
        _print({"shard": shard, "finished": True, "run_complete": False}, as_json)
        return
    _print_summary(summary, out, as_json)
    if strict and summary.breaches:
        raise typer.Exit(1)


@turns_app.command("fit")
def turns_fit(
    labels: Annotated[
        list[Path],
        typer.Argument(
            metavar="LABELS…", help="RTTM, STM, SegLST, Lhotse or word TSV, plain or .gz."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The model, a small JSON file.")],
    name: Annotated[str | None, typer.Option(help="Default: the name of the file.")] = None,
    source: Annotated[str, typer.Option(help="Corpus that the labels are of.")] = "not stated",
    licence: Annotated[str, typer.Option(help="Licence of the labels.")] = "not stated",
    attribution: Annotated[str, typer.Option(help="Whom to name.")] = "",
    pauses_from: Annotated[
        str | None, typer.Option(help="Preset or file whose pauses are used.")
    ] = None,
) -> None:
    """Fit a turn-taking model on labels of real conversations.

    Example: talkover turns fit meetings/*.rttm --out meetings.json --source "our meetings"
    """
    from talkover.simulate.turn_fit import fit
    from talkover.simulate.turns import TurnModel

    model = fit(
        labels,
        name=name or out.stem,
        source=source,
        licence=licence,
        attribution=attribution,
        pauses_from=None if pauses_from is None else TurnModel.load(pauses_from),
    )
    model.save(out)
    for warning in model.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{out}: {model.name}, {out.stat().st_size / 1000:.1f} kB")


@turns_app.command("show")
def turns_show(
    model: Annotated[
        str | None, typer.Argument(help="Preset or file; none lists the presets.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also draw it into this .svg, .png or .pdf.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a turn-taking model, or list the presets.

    Example: talkover turns show ami --out ami.svg
    """
    from talkover.simulate.turns import PRESETS, TurnModel

    if model is None:
        presets = {name: TurnModel.load(name) for name in sorted(PRESETS)}
        if as_json:
            _print({name: preset.summary() for name, preset in presets.items()}, as_json)
            return
        for name, preset in presets.items():
            print(f"{name}: {preset.origin.source} ({preset.origin.licence})")
        return
    from talkover.simulate.model_drawing import draw_model, terminal_drawing

    loaded = TurnModel.load(model)
    if as_json:
        _print(loaded.summary(), as_json)
    else:
        from rich.console import Console

        Console().print(terminal_drawing(loaded))
    if out is not None:
        draw_model(loaded, out)


@turns_app.command("sample")
def turns_sample(
    model: Annotated[str, typer.Argument(help="Preset or file.")],
    hours: Annotated[float, typer.Option(help="Hours of timing.")],
    out: Annotated[Path, typer.Option(help="An RTTM file.")],
    speakers: Annotated[
        str | None, typer.Option(help="N or MIN-MAX; default from the model.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Sample timing alone, with unit durations from the fitted model.

    Example: talkover turns sample ami --hours 20 --out ami20.rttm
    """
    from talkover.simulate.turn_sampling import sample_rttm
    from talkover.simulate.turns import TurnModel

    count = sample_rttm(TurnModel.load(model), hours, out, speakers=_speakers(speakers), seed=seed)
    print(f"{out}: {count} sessions")


@turns_app.command("compare")
def turns_compare(
    simulated: Annotated[Path, typer.Argument(help="Labels of simulated conversations.")],
    real: Annotated[Path, typer.Argument(help="Labels of real conversations.")],
    html: Annotated[
        Path | None, typer.Option(help="Also write table and histograms as a page.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Exit 1 if a bar is missed.")] = False,
    as_json: Json = False,
) -> None:
    """Hold simulated turn-taking against a real corpus.

    Example: talkover turns compare out/labels.rttm ami_train.rttm.gz --html compare.html
    """
    from talkover.manifests import turn_comparison as shown
    from talkover.manifests.labels import read_labels
    from talkover.manifests.turn_taking import compare

    sides = read_labels(real, regions=True), read_labels(simulated, regions=True)
    result = compare(*sides)
    samples = [shown.samples_of(side) for side in sides]
    if as_json:
        _print(result.plain(), as_json)
    else:
        _print_comparison(result, samples)
    if html is not None:
        html.write_text(shown.comparison_html(result, *samples), encoding="utf8")
    if strict and not result.all_hold:
        raise typer.Exit(1)


@app.command()
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

    heard = channel if channel in (None, "each") else _channel(str(channel))
    with _progress("annotating", None, quiet=as_json) as advance:
        done = annotate_files(
            audio,
            out,
            config=load_config(config, set_ or [], channel=heard),
            speakers=speakers,
            enrol=enrol,
            keep=_choice("--keep", keep, ("link", "copy", "reference")),
            licence=licence,
            jobs=jobs,
            executor=executor,
            shard=shard,
            cache=cache,
            progress=advance,
        )
    if done is None:
        _print({"shard": shard, "finished": True, "run_complete": False}, as_json)
        return
    for row in done.rejected:
        print(f"rejected {row.path}: {row.stage}: {row.reason}", file=sys.stderr)
    counts = {"recordings": done.recordings, "segments": done.segments, "seconds": done.seconds}
    rest = {"rejected": len(done.rejected), "warnings": done.warnings, "flags": done.flags}
    _print({"out": str(out), **counts, **rest}, as_json)
    if strict and done.rejected:
        raise typer.Exit(1)


@app.command("annotate-train")
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
        models=[_choice("--models", name, MODEL_KINDS) for name in models.split(",")],
        config=load_training_config(config, set_ or []),
        seed=seed,
        cache=cache,
        start=start,
    )
    for kind, description in done.items():
        scores = description.training["test"] or "none: give --test"
        _print({"model": str(out / kind), "version": description.version, "test": scores}, as_json)


@app.command("annotate-eval")
def annotate_eval(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    manifests: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MANIFESTS…",
            help="Folders of sessions whose truth is known; with --simulate, corpora as "
            "`talkover simulate` takes them.",
        ),
    ] = None,
    simulate: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="First make sessions, by this YAML.")
    ] = None,
    hours: Annotated[float, typer.Option(help="Hours of sessions to make.")] = 1.0,
    config: Annotated[
        Path | None, typer.Option(help="YAML with any part of the annotator's settings.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="a.b=c", help="One setting of it.")
    ] = None,
    voices: Annotated[
        bool, typer.Option(help="Also enrol half of the voices, and see who is known again.")
    ] = True,
    music: Annotated[
        Path | None, typer.Option(help="CSV of pieces of known tempo: file, bpm.")
    ] = None,
    real: Annotated[
        Path | None, typer.Option(help="Folder of recordings that people labelled.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Who speaks when in these: RTTM or any label file.")
    ] = None,
    words: Annotated[Path | None, typer.Option(help="Their words with times.")] = None,
    pattern: Annotated[str, typer.Option(help="Only recordings of such names.")] = "*",
    corpus: Annotated[
        str | None, typer.Option(help="What they come from, such as ami; default by --pattern.")
    ] = None,
    sample: Annotated[
        bool, typer.Option(help="Also the call that comes with pyannote.audio, if installed.")
    ] = True,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same figures.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Workers.")] = 1,
    executor: Annotated[str, typer.Option(help="serial, processes or ray.")] = "processes",
    strict: Annotated[bool, typer.Option(help="Exit 1 if a figure misses its bar.")] = False,
    as_json: Json = False,
) -> None:
    """Simulate, annotate, score: cuts, coverage, who spoke, overlap, sounds, voices, tempo.

    Example: talkover annotate-eval speech.csv --simulate table.yaml --hours 0.5 --out evaluation
    """
    from talkover.annotate.config import load_config
    from talkover.annotate.evaluation.real import real_set
    from talkover.annotate.evaluation.report import rows_of, to_json, to_markdown
    from talkover.annotate.evaluation.run import evaluate_annotator

    if (real is None) != (labels is None):
        raise ConfigurationError("--real and --labels go together")
    sets = []
    if real is not None and labels is not None:
        sets.append(real_set(real, labels, pattern=pattern, words=words, corpus=corpus))
    folders: list[Any] = list(manifests or [])
    if simulate is not None:
        folders = [_rendered(folders, simulate, out / "sessions", hours, seed, jobs, executor)]
    with _progress("annotating", None, quiet=as_json) as advance:
        found = evaluate_annotator(
            folders,
            out,
            config=load_config(config, set_ or []),
            voices=voices,
            music=music,
            real=sets,
            sample=sample,
            bootstrap=bootstrap,
            seed=seed,
            jobs=jobs,
            executor=executor,
            progress=advance,
        )
    print(to_json(found) if as_json else to_markdown(found), end="")
    if strict and any(row.holds is False for row in rows_of(found)):
        raise typer.Exit(1)


def _rendered(
    corpora: list[str], config: Path, out: Path, hours: float, seed: int, jobs: int, executor: str
) -> Path:
    """Sessions made for an evaluation; the same request makes nothing again."""
    from talkover.simulate.config import load_config
    from talkover.simulate.run import RunRequest, prepare, render_run

    if not corpora:
        raise ConfigurationError("--simulate needs corpora to make sessions of")
    request = RunRequest(
        out=out, corpora=tuple(corpora), config=load_config(config), seed=seed, hours=hours
    )
    render_run(prepare(request, executor=executor, jobs=jobs), executor=executor, jobs=jobs)
    return out


@app.command()
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


@app.command()
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
        _print(done.plain(), as_json)
        return
    print(
        f"{target}: {done.sessions} sessions, {done.utterances} utterances, "
        f"{done.source_format} to {done.target_format}"
    )


@app.command()
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
    _print(write_card(folders, out, options).plain(), as_json)


@app.command()
def audit(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR…",
            help="Folders or manifests: ours, plain Lhotse cuts, label files, RTTM beside audio.",
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page to this file.")] = None,
    fail_on: Annotated[str, typer.Option(help="error, warning or never: exit 1 from there.")] = (
        "error"
    ),
    audio: Annotated[bool, typer.Option("--audio", help="Players in the page.")] = False,
    read_audio: Annotated[bool, typer.Option(help="Open, decode and measure audio files.")] = True,
    splits: Annotated[
        str | None, typer.Option(metavar="NAME=DIR,…", help="Inputs by the name of their split.")
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="Parquet of voice vectors: speaker, vector.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Labels of real meetings to hold turn-taking against.")
    ] = None,
    checks: Annotated[str | None, typer.Option(metavar="NAME,…", help="Only these checks.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps tables for the next time.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Workers.")] = 1,
    executor: Annotated[str, typer.Option(help="serial, processes or ray.")] = "processes",
    as_json: Json = False,
) -> None:
    """See what is in a corpus, what is wrong with it and what leaked.

    Example: talkover audit out --html out/audit.html --fail-on error
    """
    from talkover.manifests.audit import Audit

    _choice("--fail-on", fail_on, ("error", "warning", "never"))
    with _progress("reading audio", None, quiet=as_json) as advance:
        made = Audit.from_manifests(
            paths or [],
            splits=_named_paths(splits),
            embeddings=embeddings,
            reference=reference,
            audio=read_audio,
            checks=None if checks is None else checks.split(","),
            jobs=jobs,
            executor=executor,
            cache=cache,
            progress=advance,
        )
    if html is not None:
        made.to_html(html, audio=audio)
    _print_audit(made, as_json)
    if made.worst() in {"error": ["error"], "warning": ["error", "warning"], "never": []}[fail_on]:
        raise typer.Exit(1)


@app.command()
def score(
    ref: Annotated[Path, typer.Argument(help="Reference: any label file or produced folder.")],
    hyp: Annotated[Path, typer.Argument(help="Hypothesis: any label file or produced folder.")],
    metrics: Annotated[
        str | None, typer.Option(help="Names with commas, or all; default what the data allow.")
    ] = None,
    tcp_collar: Annotated[float, typer.Option(help="Seconds around a hypothesis word.")] = 5.0,
    der_collar: Annotated[float, typer.Option(help="Seconds on each side of a boundary.")] = 0.0,
    normalizer: Annotated[str, typer.Option(help="default, english, chinese or none.")] = "default",
    registered: Annotated[
        str | None, typer.Option(help="Registered names with commas, for sacer.")
    ] = None,
    strata: Annotated[str | None, typer.Option(help="Fields with commas, such as overlap.")] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    compare: Annotated[
        Path | None, typer.Option(help="A second hypothesis, compared in pairs.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Also write Markdown.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page of aligned errors.")] = None,
) -> None:
    """Score who said what, when: WER, cpWER, tcpWER, ORC, DER, JER and more.

    Example: talkover score out/labels.stm hypothesis.stm --metrics cpwer,tcpwer,der
    """
    from talkover.manifests.score import score_files, to_markdown

    result = score_files(
        ref,
        hyp,
        metrics=metrics,
        tcp_collar=tcp_collar,
        der_collar=der_collar,
        normalizer=normalizer,
        registered=None if registered is None else registered.split(","),
        strata=() if strata is None else strata.split(","),
        bootstrap=bootstrap,
        seed=seed,
        compare=compare,
        json=json_file,
        markdown=markdown,
        html=html,
    )
    print(to_markdown(result))


@app.command()
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
        mode=_choice("--mode", mode, ("hash", "components")),
    )
    counts = write_split(folder, out, plan)
    _print({"sessions": dict(counts), "dropped": len(plan.dropped)}, as_json)


@app.command()
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


def _speakers(text: str | None) -> tuple[int, int] | None:
    """``3`` or ``2-4`` as (least, most)."""
    if text is None:
        return None
    least, dash, most = text.partition("-")
    try:
        return int(least), int(most if dash else least)
    except ValueError:
        raise ConfigurationError(f"--speakers takes N or MIN-MAX, got {text!r}") from None


@app.command()
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
        format=_choice("--format", format, ("shar", "webdataset")),
        shard_size=int(shard_size) if shard_size.isdigit() else shard_size,
        jobs=jobs,
        executor=executor,
    )
    _print(result, as_json)


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


def _named_paths(text: str | None) -> dict[str, Path] | None:
    """``train=a,test=b`` as a mapping."""
    if text is None:
        return None
    named = {}
    for part in text.split(","):
        name, equals, path = part.partition("=")
        if not equals or not name or not path:
            raise ConfigurationError(f"--splits takes NAME=DIR,…, such as train=a,test=b: {text!r}")
        named[name.strip()] = Path(path)
    return named


def _print_comparison(result: Any, samples: Any) -> None:
    """The table of the ruler, its bars and the histograms."""
    from rich.console import Console
    from rich.table import Table

    from talkover.manifests import turn_comparison as shown

    console = Console()
    figures = Table("figure", "real", "simulated")
    for row in shown.figure_rows(result):
        figures.add_row(*row)
    distances = Table("distance", "simulated", "noise floor")
    for row in shown.distance_rows(result):
        distances.add_row(*row)
    console.print(figures)
    console.print(distances)
    for line in shown.text_histograms(*samples):
        console.print(line, markup=False, highlight=False)
    console.print()
    for name, holds in result.bars.items():
        console.print("ok   " if holds else "SHORT", name, markup=False)
    console.print(shown.verdict(result))


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


EXAMPLES = 5
"""Findings of a check that `talkover audit` prints; the page and --json have more."""


def _print_audit(audit: Audit, as_json: bool) -> None:
    if as_json:
        values = {
            "checks": json.loads(audit.checks.to_json(orient="records")),
            "findings": json.loads(audit.findings.to_json(orient="records")),
        }
        print(json.dumps(values, ensure_ascii=False))
        return
    from talkover.manifests.audit.columns import rows_of

    hours, turns = audit.sessions["duration"].sum() / 3600, len(audit.turns)
    print(f"{len(audit.sessions)} sessions, {hours:.2f} h, {turns} supervisions")
    for row in rows_of(audit.checks):
        why = f" ({row.reason})" if row.reason else ""
        count = f" {row.findings}" if row.findings else ""
        print(f"  {row.number:>3} {row.check:24} {row.status}{count}{why}")
        if row.findings:
            own = audit.findings[audit.findings["check"] == row.check]
            for one in rows_of(own.head(EXAMPLES)):
                place = "" if one.session != one.session else f"{one.session}: "
                print(f"      {one.severity}: {place}{one.locus}: {one.value} (right: {one.limit})")
            if len(own) > EXAMPLES:
                print(f"      … and {len(own) - EXAMPLES} more")


@app.command()
def train(
    manifests: Annotated[
        list[str],
        typer.Argument(
            metavar="MANIFESTS…",
            help="Folders or files with cuts.jsonl, or one folder of shards; with --simulate, "
            "corpora as `talkover simulate` takes them.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint; a run in it goes on.")],
    preset: Annotated[str, typer.Option(help="Which model, and how it is trained.")] = "tiny",
    simulate: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="Make sessions on the fly, by this YAML.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML with any part of the settings.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="a.b=c", help="One setting, such as training.stages.0.steps=100."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same weights.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a model to write who said what, when. The same command goes on after a stop.

    Example: talkover train out --preset tiny --out model
    """
    from talkover.model.presets import changed_preset
    from talkover.model.run import train as train_model

    chosen = changed_preset(preset, config, set_ or [], seed=seed)
    stream = None if simulate is None else _simulated(manifests, simulate, out, seed)
    is_first = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun
    with _progress("training", 1.0, quiet=as_json or not is_first) as advance:
        done = 0

        def report(update: int, total: int, losses: Any) -> None:
            nonlocal done
            advance((update - done) / total)
            done = update

        trained = train_model(
            [] if stream else manifests, chosen, out, stream=stream, report=report
        )
    values = {"out": str(out), "steps": trained.steps, "losses": dict(trained.losses)}
    if is_first:
        _print({**values, "skipped": trained.skips.total}, as_json)
    for line in trained.skips.lines():
        print(f"skipped {line}", file=sys.stderr)


def _simulated(corpora: list[str], config: Path, out: Path, seed: int) -> Any:
    """Sessions made on the fly, as training takes them, without end; any can be the first."""
    from talkover.model.data.stream import Startable
    from talkover.simulate.config import load_config
    from talkover.simulate.run import RunRequest, portable_configuration, prepare
    from talkover.simulate.session import generate

    settings = load_config(config)
    folder = out / "run" / "simulation"
    request = RunRequest(out=folder, corpora=tuple(corpora), config=settings, seed=seed, sessions=1)
    planner = prepare(request, executor="serial").planner
    described = portable_configuration(settings)

    def sessions(share: Any, left_out: int) -> Any:
        first = share.rank + left_out * share.world_size
        return generate(planner, described, first=first, step=share.world_size)

    return lambda epoch, share: Startable(lambda left_out: sessions(share, left_out))


if __name__ == "__main__":
    main()
