"""Commands of turn-taking: fit it on real labels, look at it, sample it, compare it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from talkover.manifests.terminal import Json, print_values, range_of


def fit(
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


def show(
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
            print_values({name: preset.summary() for name, preset in presets.items()}, as_json)
            return
        for name, preset in presets.items():
            print(f"{name}: {preset.origin.source} ({preset.origin.licence})")
        return
    from talkover.simulate.model_drawing import draw_model, terminal_drawing

    loaded = TurnModel.load(model)
    if as_json:
        print_values(loaded.summary(), as_json)
    else:
        from rich.console import Console

        Console().print(terminal_drawing(loaded))
    if out is not None:
        draw_model(loaded, out)


def sample(
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

    count = sample_rttm(
        TurnModel.load(model), hours, out, speakers=range_of("--speakers", speakers), seed=seed
    )
    print(f"{out}: {count} sessions")


def compare(
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
        print_values(result.plain(), as_json)
    else:
        _print_comparison(result, samples)
    if html is not None:
        html.write_text(shown.comparison_html(result, *samples), encoding="utf8")
    if strict and not result.all_hold:
        raise typer.Exit(1)


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
