"""A turn-taking model as a person sees it: in a terminal, or as a file by matplotlib."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from talkover.manifests.charts import text_histogram
from talkover.manifests.errors import ConfigurationError, MissingExtraError
from talkover.simulate.turns import Quantiles, TurnModel

OFFSET_BOUNDS = (-4.0, 4.0)
PAUSE_BOUNDS = (0.0, 6.0)
UNIT_BOUNDS = (0.0, 20.0)
"""Seconds that the drawings show."""
SHOWN = (0.1, 0.5, 0.9)
"""Quantiles in the tables."""
FORMATS = (".svg", ".png", ".pdf")


def terminal_drawing(model: TurnModel) -> RenderableType:
    """Provenance, the offsets with their zero line, pauses, units, order of kinds, shares."""
    parts: list[RenderableType] = [_provenance(model), Text()]
    for title, distribution, bounds in _distributions(model):
        share = f", {100 * distribution.probability_below(0.0):.0f} % below 0"
        parts.append(Text(title + (share if bounds[0] < 0 else ""), style="bold"))
        lines = text_histogram(distribution.table, bounds, zero=bounds[0] < 0)
        parts += [Text("\n".join(lines)), Text()]
    parts += [_quantile_table(model), Text(), _markov(model), Text(), _shares(model)]
    parts += [Text(f"warning: {warning}", style="yellow") for warning in model.warnings]
    return Group(*parts)


def draw_model(model: TurnModel, path: Path) -> None:
    """Draw a model into a file: offsets, pauses and units as densities, kinds as a matrix.

    Args:
        model: What to draw.
        path: Ends in .svg, .png or .pdf.

    Raises:
        ConfigurationError: If it ends in something else.
        MissingExtraError: If matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"--out takes a file that ends in {', '.join(FORMATS)}: {path}")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "audit", "drawing a turn-taking model") from error
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = figure.subplots(2, 3)
    for axis, (title, distribution, bounds) in zip(axes.flat, _distributions(model), strict=False):
        axis.hist(distribution.table.clip(*bounds), bins=80, range=bounds, density=True)
        axis.set(title=title, xlabel="s")
        if bounds[0] < 0:
            axis.axvline(0, color="black", linewidth=1, linestyle="--")
    rows = _rows(model)
    axis = axes.flat[-1]
    axis.imshow(list(rows.values()), vmin=0, vmax=1, cmap="Blues")
    axis.set(title="next kind (column) after each", xticks=range(3), yticks=range(3))
    axis.set_xticklabels(rows)
    axis.set_yticklabels(rows)
    for i, row in enumerate(rows.values()):
        for j, value in enumerate(row):
            axis.text(j, i, f"{value:.2f}", ha="center", va="center")
    figure.suptitle(f"{model.name}: {model.origin.source}", fontsize=9)
    figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)


def _distributions(model: TurnModel) -> list[tuple[str, Quantiles, tuple[float, float]]]:
    return [
        ("floor-transfer offsets", model.offsets, OFFSET_BOUNDS),
        ("pauses", model.pauses, PAUSE_BOUNDS),
        ("units after a switch", model.units.switch, UNIT_BOUNDS),
        ("units after a hold", model.units.hold, UNIT_BOUNDS),
        ("backchannels", model.units.backchannel, PAUSE_BOUNDS),
    ]


def _provenance(model: TurnModel) -> Table:
    origin = model.origin
    table = Table(title=f"turn-taking model {model.name}", show_header=False, title_justify="left")
    for name, value in (
        ("source", origin.source),
        ("licence", origin.licence),
        ("attribution", origin.attribution),
        ("link", origin.url),
        ("fitted on", f"{origin.sessions} sessions, {origin.hours:.1f} h"),
        ("label resolution", f"{origin.resolution:.2f} s"),
        ("pauses of", origin.pauses),
    ):
        table.add_row(name, Text(value or "–"))
    return table


def _quantile_table(model: TurnModel) -> Table:
    table = Table("seconds", *(f"{p:.0%}" for p in SHOWN), title="quantiles", title_justify="left")
    rows = [
        *((title, distribution) for title, distribution, _ in _distributions(model)),
        ("interruption beyond the end", model.units.beyond),
        ("session", model.sessions.length),
    ]
    for title, distribution in rows:
        table.add_row(title, *(f"{distribution.at(p):.2f}" for p in SHOWN))
    return table


def _rows(model: TurnModel) -> dict[str, tuple[float, float, float]]:
    chain = model.transitions
    return {"hold": chain.hold, "switch": chain.switch, "interruption": chain.interruption}


def _markov(model: TurnModel) -> Table:
    table = Table("after ↓ comes →", *_rows(model), title="order of kinds", title_justify="left")
    for name, row in _rows(model).items():
        table.add_row(name, *(f"{value:.2f}" for value in row))
    table.add_row("in the long run", *(f"{v:.2f}" for v in model.transitions.stationary))
    return table


def _shares(model: TurnModel) -> Table:
    table = Table(title="sessions", show_header=False, title_justify="left")
    counts = ", ".join(f"{n}: {share:.0%}" for n, share in sorted(model.speakers.counts.items()))
    overlap, silence = model.sessions.overlap, model.sessions.silence
    for name, value in (
        ("overlap of speech", f"{overlap.mean:.1%} ± {overlap.deviation:.1%}"),
        ("silence of time", f"{silence.mean:.1%} ± {silence.deviation:.1%}"),
        ("speakers", counts),
        ("backchannels a unit", f"{model.backchannels.per_unit:.2f}"),
        ("correlation of consecutive offsets", f"{model.memory:.2f}"),
        ("evenness of talk shares", f"{model.speakers.evenness:.1f}"),
    ):
        table.add_row(name, Text(value))
    return table
