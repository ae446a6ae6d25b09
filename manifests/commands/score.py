"""The command that scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
