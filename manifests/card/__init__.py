"""A card of a data set, Croissant and Markdown, made from its manifests: see docs/card.md."""

from talkover.manifests.card.licences import TERMS, resolved, spdx_of
from talkover.manifests.card.resolve import Licence, LicenceConflict
from talkover.manifests.card.write import Card, CardOptions, write_card

__all__ = [
    "TERMS",
    "Card",
    "CardOptions",
    "Licence",
    "LicenceConflict",
    "resolved",
    "spdx_of",
    "write_card",
]
