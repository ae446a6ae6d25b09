"""The command line: each command parses, calls one library function and prints.

Commands of one part live with it, such as `talkover.model.commands`; those that need two stand
here.
Errors that a person can mend are one line on stderr and exit code 1. Imports stand inside the
commands, so that `talkover --help` is instant.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from talkover.annotate import commands as annotate_commands
from talkover.manifests.commands import audit as audit_commands
from talkover.manifests.commands import corpus as corpus_commands
from talkover.manifests.commands import score as score_commands
from talkover.manifests.errors import ConfigurationError, MissingExtraError, TalkoverError
from talkover.manifests.terminal import Json, print_values, progress_bar
from talkover.model import commands as model_commands
from talkover.model.importing import commands as import_commands
from talkover.model.tasks import commands as task_commands
from talkover.simulate import commands as simulate_commands
from talkover.simulate import turn_commands

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
turns_app.command("fit")(turn_commands.fit)
turns_app.command("show")(turn_commands.show)
turns_app.command("sample")(turn_commands.sample)
turns_app.command("compare")(turn_commands.compare)

app.command()(simulate_commands.simulate)
app.command()(annotate_commands.annotate)
app.command("annotate-train")(annotate_commands.annotate_train)
app.command()(corpus_commands.validate)
app.command()(corpus_commands.convert)
app.command()(corpus_commands.card)
app.command()(audit_commands.audit)
app.command()(score_commands.score)
app.command()(corpus_commands.split)
app.command()(corpus_commands.shard)
app.command()(corpus_commands.doctor)
app.command()(model_commands.transcribe)
app.command()(model_commands.evaluate)
app.command()(model_commands.plan)
app.command("merge-adapters")(model_commands.merge_adapters)
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
        bool, typer.Option(help="Also enrol voices, five at a time, and see who is known again.")
    ] = True,
    kin: Annotated[
        str | None,
        typer.Option(help="What parts a person's name from a variant's, as - in ana-x85."),
    ] = None,
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
    with progress_bar("annotating", None, quiet=as_json) as advance:
        found = evaluate_annotator(
            folders,
            out,
            config=load_config(config, set_ or []),
            voices=voices,
            kin=kin,
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
    from talkover.simulate.request import RunRequest
    from talkover.simulate.run import prepare, render_run

    if not corpora:
        raise ConfigurationError("--simulate needs corpora to make sessions of")
    request = RunRequest(
        out=out, corpora=tuple(corpora), config=load_config(config), seed=seed, hours=hours
    )
    render_run(prepare(request, executor=executor, jobs=jobs), executor=executor, jobs=jobs)
    return out


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
    preset: Annotated[
        str | None,
        typer.Option(help="Which model, and how it is trained; default tiny, none with --start."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT", help="Begin from its weights, codec and layout, not at random."
        ),
    ] = None,
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

    parts = None
    if start is None:
        preset = preset or "tiny"
    elif preset is None:
        from talkover.model.start import checkpoint_parts

        parts = checkpoint_parts(start)
    chosen = changed_preset(preset, config, set_ or [], seed=seed, parts=parts)
    stream = None if simulate is None else _simulated(manifests, simulate, out, seed)
    is_first = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun
    with progress_bar("training", 1.0, quiet=as_json or not is_first) as advance:
        done = 0

        def report(update: int, total: int, losses: Any) -> None:
            nonlocal done
            advance((update - done) / total)
            done = update

        trained = train_model(
            [] if stream else manifests, chosen, out, stream=stream, start=start, report=report
        )
    values = {"out": str(out), "steps": trained.steps, "losses": dict(trained.losses)}
    if is_first:
        print_values({**values, "skipped": trained.skips.total}, as_json)
    for note in trained.notes if is_first else ():
        print(note, file=sys.stderr)
    for line in trained.skips.lines():
        print(f"skipped {line}", file=sys.stderr)


def _simulated(corpora: list[str], config: Path, out: Path, seed: int) -> Any:
    """Sessions made on the fly, as training takes them, without end; any can be the first."""
    from talkover.model.data.stream import Startable
    from talkover.simulate.config import load_config
    from talkover.simulate.planner_opening import portable_configuration
    from talkover.simulate.request import RunRequest
    from talkover.simulate.run import prepare
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
