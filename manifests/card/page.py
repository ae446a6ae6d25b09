"""The card as Markdown, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from talkover.manifests.card.croissant import Facts
from talkover.manifests.card.figures import HOUR, Figures
from talkover.manifests.card.resolve import Licence


def page(facts: Facts, figures: Figures, licence: Licence) -> str:
    """The page as text."""
    parts = [
        f"# {facts.name}",
        facts.description,
        _table(("what", "figure"), _figure_rows(figures)),
        "## Licence",
        _licence_text(licence),
        _table(("licence", "uses", "page"), _licence_rows(licence)),
        "## Attribution",
        attribution_text(figures),
        "## Made from",
        _made_from(figures),
        "## Made by",
        _table(
            ("tool", "version", "sha256 of the configuration", "sessions"),
            ((*key, count) for key, count in sorted(figures.tools.items())),
        ),
    ]
    if figures.backends:
        parts += [
            "## Labels that models claim",
            _table(
                ("backend", "version", "labels"),
                ((*key, count) for key, count in sorted(figures.backends.items())),
            ),
        ]
    if set(figures.splits) != {""}:
        rows = (
            (name or "(none)", count, f"{figures.split_seconds[name] / HOUR:.3f}")
            for name, count in sorted(figures.splits.items())
        )
        parts += ["## Splits", _table(("split", "sessions", "hours"), rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def attribution_text(figures: Figures) -> str:
    """Whom to name: what the corpora ask for, and each corpus with its licence."""
    lines = [f"- {_one_line(text)}" for text in sorted(figures.attribution)]
    lines += [
        f"- {_one_line(f'{name} {version}'.strip())} ({', '.join(sorted(corpus.licences))})"
        for (name, version), corpus in sorted(figures.corpora.items())
    ]
    if not lines:
        return "The manifests name nobody."
    head = "Whoever passes this data on names:"
    return head + "\n\n" + "\n".join(lines)


def _figure_rows(figures: Figures) -> list[tuple[str, object]]:
    sizes = figures.speakers_a_session
    return [
        ("sessions", figures.sessions),
        ("hours", f"{figures.hours:.3f}"),
        ("hours with speech", f"{figures.speech / HOUR:.3f}"),
        ("overlap of speech", f"{100 * figures.overlap_of_speech:.1f} %"),
        ("speakers", len(figures.speakers)),
        ("speakers a session", f"{min(sizes)} to {max(sizes)}"),
        ("turns", figures.turns),
        ("utterances", figures.utterances),
        ("utterances without a transcript", figures.without_text),
        ("words", figures.words),
        ("languages (utterances)", _counts(figures.languages.items())),
        ("origin (sessions)", _counts(figures.origins.items())),
        ("rooms (sessions)", _counts(figures.rooms.items())),
        ("sampling rates in Hz (sessions)", _counts(figures.sampling_rates.items())),
        ("channels (sessions)", _counts(figures.channels.items())),
        ("registration clips", figures.registration),
    ]


def _licence_text(licence: Licence) -> str:
    said = []
    if len(licence.ids) == 1:
        said.append(f"**{licence.ids[0]}** covers the data set as a whole.")
    elif licence.ids:
        shares = _counts(licence.by_session.items())
        said.append(f"A collection: each session has its own licence ({shares}).")
    else:
        said.append("**No licence is known.** Ask before you use or pass on anything.")
    if any(terms.non_commercial for terms in licence.terms):
        said.append("Commercial use is not allowed.")
    if any(terms.share_alike for terms in licence.terms):
        said.append("What is made from it must carry the same licence.")
    if any(terms.no_derivatives for terms in licence.terms):
        said.append("Changed versions must not be passed on.")
    if licence.unstated:
        said.append(f"The licence of {licence.unstated} uses is not stated.")
    return " ".join(said)


def _licence_rows(licence: Licence) -> Iterable[tuple[object, ...]]:
    from talkover.manifests.card.licences import TERMS

    for name, count in sorted(licence.used.items()):
        yield name, count, TERMS[name].url
    if licence.unstated:
        yield "not stated", licence.unstated, ""


def _made_from(figures: Figures) -> str:
    if not figures.corpora:
        return "No source corpus is named: these are recordings of their own."
    return _table(
        ("corpus", "version", "utterances", "speakers", "hours used", "licence"),
        (
            (
                name,
                version,
                len(corpus.utterances),
                len(corpus.speakers),
                f"{corpus.seconds / HOUR:.3f}",
                ", ".join(sorted(corpus.licences)),
            )
            for (name, version), corpus in sorted(figures.corpora.items())
        ),
    )


def _counts(items: Iterable[tuple[object, object]]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(items, key=lambda i: str(i[0])))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return _one_line(str(value)).replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())
