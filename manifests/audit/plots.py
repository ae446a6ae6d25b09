"""Pictures of a corpus, drawn with Matplotlib: the same corpus gives the same bytes of SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from talkover.manifests.audit.columns import rows_of
from talkover.manifests.audit.comparison import transfers
from talkover.manifests.audit.leaks import KINDS, leak_matrix
from talkover.manifests.audit.references import Reference, read_reference
from talkover.manifests.errors import MissingExtraError
from talkover.manifests.turn_taking import W1_RANGE, pooled, session_figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from talkover.manifests.audit.audit import Audit

SALT = "talkover"
"""Of the ids in an SVG, which Matplotlib else draws by chance."""
LONGEST_TIMELINE = 120.0
"""Seconds of a session that a timeline shows unless asked for more: lanes stay readable."""
BIN = 0.1
"""Seconds of a bin of the floor-transfer histogram."""
MOST_SESSIONS = 60
"""Sessions in the picture of talk shares."""
_WIDTH, _HEIGHT = 7.2, 3.2  # inches
_SETTINGS: Any = {
    "svg.hashsalt": SALT,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)


class Plots:
    """The pictures of an audit; each method gives a `matplotlib.figure.Figure`."""

    def __init__(self, audit: Audit) -> None:
        """Take the audit that pictures are of."""
        self._audit = audit

    def timeline(
        self, session: str | None = None, *, start: float = 0.0, seconds: float = LONGEST_TIMELINE
    ) -> Figure:
        """One lane per speaker, speech as bars, overlap shaded.

        Args:
            session: Id; the first one if None.
            start: In seconds.
            seconds: Length that is shown.

        Raises:
            ValueError: If there is no such session.
        """
        sessions = self._audit.sessions
        match = sessions[sessions["session"] == session] if session is not None else sessions
        if not len(match):
            raise ValueError(f"no session {session!r}: see audit.sessions")
        row = int(match.index[0])
        end = min(start + seconds, float(match["duration"].iloc[0]))
        with _figure() as (figure, axes):
            self._lanes(axes, row, start, end)
            axes.set(xlim=(start, end), xlabel="s", title=str(match["session"].iloc[0]))
        return figure

    def _lanes(self, axes: Axes, row: int, start: float, end: float) -> None:
        regions, turns = self._audit.regions, self._audit.turns
        own = regions[(regions["session_row"] == row) & (regions["start"] < end)]
        own = own[own["end"] > start]
        speakers = turns["speaker"].iloc[own["turn_row"]].fillna("").to_numpy()
        names = list(dict.fromkeys(speakers.tolist()))
        overlaps = self._audit.overlaps
        for stretch in rows_of(overlaps[overlaps["session_row"] == row]):
            if stretch.start < end and stretch.start + stretch.duration > start:
                axes.axvspan(
                    stretch.start,
                    stretch.start + stretch.duration,
                    color="#d62728",
                    alpha=0.18,
                    lw=0,
                )
        for lane, name in enumerate(names):
            spans = own[speakers == name]
            bars = list(zip(spans["start"], spans["end"] - spans["start"], strict=True))
            axes.broken_barh(bars, (lane - 0.35, 0.7), color=f"C{lane % 10}")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)

    def floor_transfer(self, reference: Any = None) -> Figure:
        """Histogram of floor-transfer offsets, beside a reference corpus where there is one.

        Args:
            reference: Labels; the audit's own reference if None.
        """
        real = read_reference(reference) or self._audit.reference
        with _figure() as (figure, axes):
            edges = np.arange(W1_RANGE[0], W1_RANGE[1] / 2 + BIN, BIN)
            _histogram(axes, transfers(self._audit.tables), edges, "this corpus", "C0")
            if real is not None:
                _histogram(axes, _reference_transfers(real), edges, real.name, "C1")
            axes.axvline(0.0, color="0.4", lw=0.6)
            axes.set(xlabel="floor-transfer offset (s): overlap < 0 < gap", ylabel="share")
            if axes.get_legend_handles_labels()[0]:
                axes.legend(frameon=False)
        return figure

    def talk_shares(self) -> Figure:
        """Share of each speaker, most talkative first, by session."""
        speakers = self._audit.speakers
        rows = np.unique(speakers["session_row"].to_numpy())[:MOST_SESSIONS]
        some = speakers[speakers["session_row"].isin(rows)]
        ranked = some.sort_values(["session_row", "talk_share"], ascending=[True, False])
        rank = ranked.groupby("session_row").cumcount()
        grid = np.full((int(rank.max()) + 1 if len(rank) else 1, max(1, len(rows))), np.nan)
        places = np.searchsorted(rows, ranked["session_row"].to_numpy())
        grid[rank.to_numpy(), places] = ranked["talk_share"].to_numpy()
        with _figure() as (figure, axes):
            image = axes.pcolormesh(grid, vmin=0, vmax=1, cmap="viridis")
            axes.set(xlabel="session", ylabel="rank of speaker", title="talk shares")
            axes.set_yticks(np.arange(len(grid)) + 0.5, [str(n + 1) for n in range(len(grid))])
            axes.invert_yaxis()
            figure.colorbar(image, ax=axes, label="share")
        return figure

    def asked_measured(self) -> Figure:
        """What was asked of a session against what came out: overlap, silence, SNR, T60."""
        sessions = self._audit.sessions
        pairs = (
            ("overlap", sessions["asked_overlap_of_speech"], sessions["overlap_of_speech"]),
            ("silence", sessions["asked_silence_of_time"], sessions["silence_of_time"]),
            ("SNR (dB)", sessions["snr_asked"], sessions["snr_measured"]),
            ("T60 (s)", sessions["t60_asked"], sessions["t60_measured"]),
        )
        with _figure(columns=len(pairs)) as (figure, every):
            for axes, (name, asked, got) in zip(every, pairs, strict=True):
                known = asked.notna() & got.notna()
                axes.plot(asked[known], got[known], ".", ms=4, alpha=0.6)
                _diagonal(axes, asked[known], got[known])
                axes.set(title=name, xlabel="asked")
            every[0].set_ylabel("measured")
        return figure

    def leaks(self) -> Figure:
        """How many names each pair of splits shares, a matrix for each kind."""
        matrices = [(kind, leak_matrix(self._audit.tables, kind)) for kind in KINDS]
        with _figure(columns=len(matrices)) as (figure, every):
            for axes, (kind, matrix) in zip(every, matrices, strict=True):
                values = matrix.to_numpy(dtype=np.float64, copy=True)
                shown = values.copy()
                np.fill_diagonal(shown, 0)
                if shown.size:
                    axes.imshow(shown > 0, vmin=0, vmax=1, cmap="Reds")
                for (i, j), value in np.ndenumerate(values):
                    axes.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=7)
                names = [str(name) for name in matrix]
                axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
                axes.set_yticks(range(len(names)), names if kind == KINDS[0] else [], fontsize=7)
                axes.set_title(kind)
        return figure

    def ecdf(self, *columns: str) -> Figure:
        """Distributions over sessions, as cumulative shares.

        Args:
            columns: Of `sessions`; duration, SNR and T60 if none are given.
        """
        chosen = columns or ("duration", "snr_measured", "t60_measured")
        units = {"duration": "duration (s)", "snr_measured": "SNR (dB)", "t60_measured": "T60 (s)"}
        with _figure(columns=len(chosen)) as (figure, every):
            for axes, name in zip(np.atleast_1d(every), chosen, strict=True):
                values = np.sort(self._audit.sessions[name].dropna().to_numpy(dtype=np.float64))
                if len(values):
                    axes.ecdf(values)
                axes.set(xlabel=units.get(name, name), ylim=(0, 1.02))
            np.atleast_1d(every)[0].set_ylabel("share of sessions")
        return figure


def svg(figure: Figure) -> str:
    """A figure as SVG text to stand in a page: no date, no address, no prolog."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(_SETTINGS):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return _METADATA.sub("", text[text.index("<svg") :])


@contextmanager
def _figure(columns: int = 1) -> Iterator[tuple[Figure, Any]]:
    """A figure without a window, and its axes."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "audit", "a picture") from error
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        yield figure, figure.subplots(1, columns)


def _histogram(axes: Axes, values: NDArray[np.float64], edges: Any, label: str, color: str) -> None:
    if len(values):
        clipped = np.clip(values, edges[0], edges[-1])
        weights = np.full(len(values), 1 / len(values))
        axes.hist(
            clipped, edges, weights=weights, histtype="step", color=color,
            label=f"{label}, median {np.median(values):.2f} s",
        )  # fmt: skip


def _reference_transfers(reference: Reference) -> NDArray[np.float64]:
    figures = [session_figures(segments) for segments in reference.sessions.values()]
    return pooled([one for one in figures if one is not None], "fto")


def _diagonal(axes: Axes, asked: Sequence[float] | pd.Series, got: Any) -> None:
    values = np.concatenate([np.asarray(asked, float), np.asarray(got, float)])
    if len(values):
        ends = [values.min(), values.max()]
        axes.plot(ends, ends, color="0.5", lw=0.6)
