"""SATS text: who said what and when, as one text that a model writes and a program reads.

`from_session` gives a `Transcript`, a format of `FORMATS` writes it, its parser reads it back as
it arrives, and mends what a model got wrong.
"""

from talkover.manifests.serialize.base import Parsed, Parser, Repair, Serializer
from talkover.manifests.serialize.formats import FORMATS, serializer
from talkover.manifests.serialize.from_session import (
    Transcribed,
    TranscriptOptions,
    from_session,
)
from talkover.manifests.serialize.prompts import PromptOptions
from talkover.manifests.serialize.transcript import Event, Piece, Transcript, Turn

__all__ = [
    "FORMATS",
    "Event",
    "Parsed",
    "Parser",
    "Piece",
    "PromptOptions",
    "Repair",
    "Serializer",
    "Transcribed",
    "Transcript",
    "TranscriptOptions",
    "Turn",
    "from_session",
    "serializer",
]
