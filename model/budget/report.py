"""A plan for people and for programs."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np

from talkover.model.budget.memory import Memory
from talkover.model.budget.plan import GIB, Fit, Planned, StageFit

SHOWN = 10
"""Refused sessions that are named for people; programs get all."""


def plan_lines(planned: Planned) -> list[str]:
    """The plan as text."""
    context = "unlimited" if planned.context is None else f"{planned.context:,} positions"
    lines = [
        f"{planned.sessions} sessions, {planned.hours:.2f} h; {planned.parameters / 1e6:,.1f} M "
        f"parameters, {planned.precision}, context {context}",
        "",
        "tokens        " + "".join(f"{f'p{p}':>12}" for p in (50, 90, 100)),
    ]
    for name in ("duration", "audio", "markers", "prompt", "text", "stamps", "positions"):
        values = [float(getattr(tokens, name)) for tokens in planned.tokens]
        row = "".join(f"{np.percentile(values, p):>12,.0f}" for p in (50, 90, 100))
        lines.append(f"{name:<14}{row}")
    lines.append("")
    for fit in planned.fits:
        lines += _fit_lines(fit, planned)
    lines += [_stage_line(stage, planned) for stage in planned.stages]
    if planned.longest is not None:
        lines.append(
            f"a session as dense as the densest fifth here fits the context up to "
            f"{planned.longest / 60:.1f} min"
        )
    lines += [f"skipped {id}: {reason}" for id, reason in planned.skipped.items()]
    for refused in planned.refused[:SHOWN]:
        minutes = refused.duration / 60
        lines.append(f"REFUSED {refused.session} ({minutes:.1f} min): {refused.reason}")
    if len(planned.refused) > SHOWN:
        lines.append(f"REFUSED {len(planned.refused) - SHOWN} more: see --json")
    return lines


def plan_json(planned: Planned) -> str:
    """The plan as one JSON document; memory in bytes, times in seconds."""
    values = asdict(planned)
    for fit, plain in zip(planned.fits, values["fits"], strict=True):
        plain["inference"]["total"] = fit.inference.total
        plain["tokens"]["positions"] = fit.tokens.positions
    for stage, plain in zip(planned.stages, values["stages"], strict=True):
        plain["memory"]["total"] = stage.memory.total
    for tokens, plain in zip(planned.tokens, values["tokens"], strict=True):
        plain["positions"] = tokens.positions
    return json.dumps(values, ensure_ascii=False, indent=1)


def _fit_lines(fit: Fit, planned: Planned) -> list[str]:
    cache = ", ".join(f"{name} {_gib(size)}" for name, size in sorted(fit.cache.items()))
    lines = [
        f"p{fit.percentile}: {fit.tokens.duration:.1f} s, {fit.tokens.parts()}",
        f"  key-value cache: {cache}",
        f"  hearing and writing one: {_memory(fit.inference)}",
    ]
    if planned.gpu_memory is not None:
        lines.append(
            f"  in {planned.gpu_memory:g} GiB: {_fits(fit.inference_batch)} at a time heard"
        )
    return lines


def _stage_line(stage: StageFit, planned: Planned) -> str:
    line = (
        f"stage {stage.name}: trains {stage.trained / 1e6:,.1f} M of "
        f"{planned.parameters / 1e6:,.1f} M, {stage.rows} × {stage.seconds:.1f} s: "
        f"{_memory(stage.memory)}"
    )
    if planned.gpu_memory is not None:
        line += f"; {_fits(stage.rows_that_fit)} rows fit {planned.gpu_memory:g} GiB"
    return line


def _memory(memory: Memory) -> str:
    parts = [f"weights {_gib(memory.weights)}"]
    if memory.optimizer:
        parts.append(f"gradients and optimizer {_gib(memory.optimizer)}")
    if memory.cache:
        parts.append(f"cache {_gib(memory.cache)}")
    parts.append(f"activations {_gib(memory.activations)}")
    return f"{_gib(memory.total)} ({', '.join(parts)})"


def _fits(count: int | None) -> str:
    return "none" if not count else f"{count}"


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB / 100 else f"{size / 2**20:.2f} MiB"
