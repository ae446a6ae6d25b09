"""The command that audits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.terminal import Json, choice_of, progress_bar

if TYPE_CHECKING:
    from talkover.manifests.audit import Audit


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

    choice_of("--fail-on", fail_on, ("error", "warning", "never"))
    with progress_bar("reading audio", None, quiet=as_json) as advance:
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
