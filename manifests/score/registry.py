"""The table of metrics: name, meaning, what each needs, and what computes it.

Others are found under the entry-point group ``talkover.metrics``, each a `Metric`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Literal

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.score import (
    boundaries,
    concatenated,
    cuts,
    diarization,
    events,
    reliability,
)
from talkover.manifests.score.normalize import Normalizer, Unit
from talkover.manifests.score.sides import Pair
from talkover.manifests.score.tally import Tally
from talkover.manifests.score.timed import tcp_error_rate
from talkover.manifests.score.words import error_rate

Need = Literal["text", "registered", "events", "words", "meeteval"]
ENTRY_POINTS = "talkover.metrics"


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """All that a figure depends on besides the two sides."""

    normalizer: Normalizer = field(default_factory=Normalizer)
    tcp_collar: float = 5.0
    """Seconds on each side of a hypothesis word, for tcpWER and tcpCER."""
    der_collar: float = 0.0
    """Seconds on each side of a reference boundary that are not scored, for DER."""
    der_skip_overlap: bool = False
    """Leave overlapped speech out of the DER."""
    orc_search: concatenated.Search = "greedy"
    """How ORC and DI-cp are searched; exact only works for very short sessions."""

    def __post_init__(self) -> None:
        """Refuse collars that cannot be."""
        for name in ("tcp_collar", "der_collar"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ConfigurationError(f"{name} must be 0 s or more, got {value}")
        if self.orc_search not in ("greedy", "exact"):
            raise ConfigurationError(f"orc_search must be greedy or exact, got {self.orc_search!r}")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric; its error rate is ``errors / length`` summed over sessions."""

    name: str
    summary: str
    """One line: what is counted over what."""
    compute: Callable[[Pair, ScoreSettings], Tally] | None = None
    difference: tuple[str, str] | None = None
    """Two other metrics whose errors are subtracted, instead of ``compute``."""
    needs: frozenset[Need] = frozenset()
    is_default: bool = False
    unit: str = ""
    """Unit of the rate, where it is not a share."""


def _text_metrics(unit: Unit) -> list[Metric]:
    end = "wer" if unit == "word" else "cer"
    things = f"{unit}s"
    text: frozenset[Need] = frozenset({"text"})
    registered: frozenset[Need] = frozenset({"text", "registered"})
    meeteval: frozenset[Need] = frozenset({"text", "meeteval"})
    return [
        Metric(
            name=end,
            needs=text,
            is_default=True,
            summary=f"{things} wrong, all speakers in one text by start, then speaker",
            compute=lambda pair, _: error_rate(pair, unit),
        ),
        Metric(
            name=f"cp{end}",
            needs=text,
            is_default=True,
            summary=f"{things} wrong under the best pairing of speakers",
            compute=lambda pair, _: concatenated.cp_error_rate(pair, unit),
        ),
        Metric(
            name=f"tcp{end}",
            needs=text,
            is_default=True,
            summary=f"cp{end}, {things} only pair within the time collar",
            compute=lambda pair, s: tcp_error_rate(pair, unit, s.tcp_collar),
        ),
        Metric(
            name=f"orc{end}",
            needs=meeteval,
            summary=f"{things} wrong, each reference segment in its best stream",
            compute=lambda pair, s: concatenated.orc_error_rate(pair, unit, s.orc_search),
        ),
        Metric(
            name=f"dicp{end}",
            needs=meeteval,
            summary=f"{things} wrong, each hypothesis segment with its best speaker",
            compute=lambda pair, s: concatenated.dicp_error_rate(pair, unit, s.orc_search),
        ),
        Metric(
            name=f"sa{end}",
            needs=registered,
            summary=f"{things} wrong, registered names against themselves",
            compute=lambda pair, _: concatenated.sa_error_rate(pair, unit),
        ),
        Metric(
            name=f"tm{end}",
            needs=text,
            summary=f"{things} wrong, speakers paired by common time",
            compute=lambda pair, _: concatenated.tm_error_rate(pair, unit),
        ),
    ]


def _difference(name: str, first: str, second: str, *needs: Need) -> Metric:
    return Metric(
        name=name,
        summary=f"{first} - {second}, in errors over the same length",
        difference=(first, second),
        needs=frozenset(needs) | {"text"},
        is_default=name == "delta_cp",
    )


def _table() -> dict[str, Metric]:
    differences = [
        _difference("delta_cp", "cpcer", "cer"),
        _difference("delta_cp_wer", "cpwer", "wer"),
        _difference("delta_cp_orc", "cpcer", "orccer", "meeteval"),
        _difference("delta_cp_orc_wer", "cpwer", "orcwer", "meeteval"),
        _difference("delta_cp_dicp", "cpcer", "dicpcer", "meeteval"),
        _difference("delta_cp_dicp_wer", "cpwer", "dicpwer", "meeteval"),
        _difference("delta_sa", "sacer", "cer", "registered"),
        _difference("delta_sa_wer", "sawer", "wer", "registered"),
    ]
    sounds: frozenset[Need] = frozenset({"events"})
    registered: frozenset[Need] = frozenset({"registered"})
    plain = [
        Metric(
            name="der",
            is_default=True,
            summary="miss, false alarm and confusion over reference speaker time",
            compute=lambda pair, s: diarization.diarization_error(
                pair, s.der_collar, s.der_skip_overlap
            ),
        ),
        Metric(
            name="jer",
            is_default=True,
            summary="mean Jaccard error of reference speakers",
            compute=lambda pair, _: diarization.jaccard_error(pair),
        ),
        Metric(
            name="aas",
            unit="s",
            summary="mean shift of starts and ends of matched segments, seconds",
            compute=lambda pair, _: boundaries.boundary_shift(pair),
        ),
        Metric(
            name="unmatched_segments",
            summary="reference segments that share no time with a segment of their speaker",
            compute=lambda pair, _: boundaries.unmatched_segments(pair),
        ),
        Metric(
            name="boundary_f1_200ms",
            summary="1 - F1 of speech boundaries within 0.2 s",
            compute=lambda pair, _: boundaries.boundary_f1(pair, 0.2),
        ),
        Metric(
            name="boundary_f1_500ms",
            summary="1 - F1 of speech boundaries within 0.5 s",
            compute=lambda pair, _: boundaries.boundary_f1(pair, 0.5),
        ),
        Metric(
            name="event_f1",
            needs=sounds,
            summary="1 - F1 of sound events",
            compute=lambda pair, _: boundaries.event_f1(pair),
        ),
        Metric(
            name="event_segment_f1",
            needs=sounds,
            summary="1 - F1 of seconds with each sound",
            compute=lambda pair, _: events.event_segment_f1(pair),
        ),
        Metric(
            name="music_f1",
            needs=sounds,
            summary="1 - F1 of time with music",
            compute=lambda pair, _: events.music_f1(pair),
        ),
        Metric(
            name="overlap_f1",
            summary="1 - F1 of time with two or more speakers",
            compute=lambda pair, _: events.overlap_f1(pair),
        ),
        Metric(
            name="cut_words",
            needs=frozenset({"words"}),
            summary="words that a cut crosses",
            compute=lambda pair, _: cuts.cut_rate(pair, "words"),
        ),
        Metric(
            name="cut_turns",
            summary="reference segments that a cut crosses",
            compute=lambda pair, _: cuts.cut_rate(pair, "turns"),
        ),
        Metric(
            name="cut_regions",
            summary="stretches of speech of one speaker that a cut crosses",
            compute=lambda pair, _: cuts.cut_rate(pair, "regions"),
        ),
        Metric(
            name="cut_sounds",
            needs=sounds,
            summary="sounds that a cut crosses",
            compute=lambda pair, _: cuts.cut_rate(pair, "sounds"),
        ),
        Metric(
            name="cut_music",
            needs=sounds,
            summary="pieces of music that a cut crosses",
            compute=lambda pair, _: cuts.cut_rate(pair, "music"),
        ),
        Metric(
            name="speaker_count",
            is_default=True,
            summary="sessions with a wrong number of speakers",
            compute=lambda pair, _: reliability.speaker_count_error(pair),
        ),
        Metric(
            name="fail_rate",
            is_default=True,
            summary="sessions without a usable hypothesis",
            compute=lambda pair, _: reliability.fail_rate(pair),
        ),
        Metric(
            name="coverage",
            is_default=True,
            summary="time after the last end of the hypothesis over session length",
            compute=lambda pair, _: reliability.coverage(pair),
        ),
        Metric(
            name="loop_rate",
            needs=frozenset({"text"}),
            is_default=True,
            summary="sessions with a loop",
            compute=lambda pair, _: reliability.loop_rate(pair),
        ),
        Metric(
            name="hallucinated_turns",
            needs=registered,
            summary="turns of silent registered speakers",
            compute=lambda pair, _: reliability.hallucinated_turns(pair),
        ),
        Metric(
            name="false_names",
            needs=registered,
            summary="turns under a registered name while another speaks",
            compute=lambda pair, _: reliability.false_names(pair),
        ),
        Metric(
            name="speaker_switches",
            summary="changes of speaker inside a reference segment, per segment",
            compute=lambda pair, _: reliability.speaker_switches(pair),
        ),
    ]
    metrics = [*_text_metrics("word"), *_text_metrics("character"), *differences, *plain]
    return {metric.name: metric for metric in metrics}


METRICS: dict[str, Metric] = _table()
"""Every metric of talkover by name."""


def find_metrics(names: Sequence[str]) -> list[Metric]:
    """The metrics of these names, in the order of the table; others by entry point after them.

    Raises:
        ConfigurationError: If a name is unknown.
    """
    wanted = list(dict.fromkeys(names))
    found = [METRICS[name] for name in METRICS if name in wanted]
    rest = [name for name in wanted if name not in METRICS]
    points = {point.name: point for point in entry_points(group=ENTRY_POINTS)} if rest else {}
    for name in rest:
        if name not in points:
            raise ConfigurationError(f"unknown metric {name!r}, known are {', '.join(METRICS)}")
        found.append(points[name].load())
    return found


def with_parts(metrics: Sequence[Metric]) -> list[Metric]:
    """The metrics and those that differences among them are made of, in the order of the table.

    The parts of a difference stand before it there.
    """
    names = {part for metric in metrics for part in metric.difference or ()}
    names |= {metric.name for metric in metrics}
    others = [metric for metric in metrics if metric.name not in METRICS]
    return [metric for name, metric in METRICS.items() if name in names] + others
