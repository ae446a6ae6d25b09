"""Writing a card: one pass over the manifests, then the two files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from talkover.manifests.card.croissant import Facts, croissant
from talkover.manifests.card.figures import Figures, Use, sessions_of, uses_of
from talkover.manifests.card.page import page
from talkover.manifests.card.resolve import Licence, LicenceConflict, Resolver
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.markers import publish

CROISSANT, PAGE, CONFLICTS = "croissant.json", "README.md", "licence_conflicts.jsonl"

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, kw_only=True)
class CardOptions:
    """What the manifests cannot know, and how licences are judged."""

    name: str | None = None
    """Of the data set; None takes the name of the folder of the card."""
    collection: bool = False
    """Each session keeps a licence of its own; else one must cover all."""
    allow_unstated: bool = False
    """Accept what has no known licence; the card says so."""
    creator: str | None = None
    url: str | None = None
    version: str = "1.0.0"
    date: str | None = None
    """Of publication, ``YYYY-MM-DD``."""

    def __post_init__(self) -> None:
        """Check the date."""
        if self.date is not None and not _DATE.fullmatch(self.date):
            raise ConfigurationError(f"date must be YYYY-MM-DD, got {self.date!r}")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What was written."""

    out: Path
    figures: Figures
    licence: Licence

    def plain(self) -> dict[str, object]:
        """For a person or a machine."""
        return {
            "card": str(self.out),
            "sessions": self.figures.sessions,
            "hours": round(self.figures.hours, 4),
            "speakers": len(self.figures.speakers),
            "licence": " AND ".join(self.licence.ids) or "not stated",
        }


def write_card(
    folders: Sequence[Path | str], out: Path | str, options: CardOptions | None = None
) -> Card:
    """Write ``croissant.json`` and ``README.md`` of one or more produced folders.

    The same manifests and options give the same bytes. After a conflict of licences only
    ``licence_conflicts.jsonl`` is written, with every use that takes part in it.

    Raises:
        LicenceConflict: If licences do not go together or are not known; it names the utterances.
        ManifestError: If a folder has no manifest or a broken one, or holds no session.
    """
    options, out = options or CardOptions(), Path(out)
    places = [Path(folder) for folder in folders]
    figures = Figures()
    resolver = Resolver(collection=options.collection, allow_unstated=options.allow_unstated)
    try:
        for session in sessions_of(places):
            figures.add(session)
            resolver.add(uses_of(session))
        licence = resolver.licence()
    except LicenceConflict as error:
        _write_conflicts(out / CONFLICTS, error.uses)
        raise
    if not figures.sessions:
        raise ManifestError("holds no session", path=places[0] if places else None)
    facts = _facts(options, figures, out)
    node = croissant(facts, figures, licence, places, out)
    text = json.dumps(node, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    _write(out / CROISSANT, text)
    _write(out / PAGE, page(facts, figures, licence))
    with suppress(FileNotFoundError):
        (out / CONFLICTS).unlink()  # of an earlier try
    return Card(out=out, figures=figures, licence=licence)


def _facts(options: CardOptions, figures: Figures, out: Path) -> Facts:
    languages = sorted(name for name in figures.languages if name != "not stated")
    description = (
        f"{figures.hours:.2f} hours of multi-talker speech in {figures.sessions} sessions of "
        f"{len(figures.speakers)} speakers, {100 * figures.overlap_of_speech:.1f} % of the speech "
        "overlapped, with who said what and when"
        + (f" ({', '.join(languages)})" if languages else "")
        + f". Sessions: {', '.join(sorted(figures.origins))}."
    )
    return Facts(
        name=options.name or out.absolute().name,
        description=description,
        version=options.version,
        creator=options.creator,
        url=options.url,
        date=options.date,
    )


def _write(path: Path, text: str) -> None:
    publish(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def _write_conflicts(path: Path, uses: list[Use]) -> None:
    _write(path, "".join(json.dumps(asdict(use), ensure_ascii=False) + "\n" for use in uses))
