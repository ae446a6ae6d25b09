"""Carry conversations from one format into another, saying what does not fit.

`CONVERTERS` is the table of formats, `LOSSES` the table of what each cannot hold. `convert` does
it. See docs/convert.md.
"""

from talkover.manifests.convert.base import Converter, Faults, WriteOptions
from talkover.manifests.convert.conversation import (
    Conversation,
    Recording,
    SpokenWord,
    Utterance,
    make_conversation,
    of_session,
)
from talkover.manifests.convert.losses import LOSSES, Loss, lost, without
from talkover.manifests.convert.registry import (
    CONVERTERS,
    converter,
    format_of_input,
    format_of_output,
)
from talkover.manifests.convert.run import Conversion, LossRefused, Lost, convert

__all__ = [
    "CONVERTERS",
    "LOSSES",
    "Conversation",
    "Conversion",
    "Converter",
    "Faults",
    "Loss",
    "LossRefused",
    "Lost",
    "Recording",
    "SpokenWord",
    "Utterance",
    "WriteOptions",
    "convert",
    "converter",
    "format_of_input",
    "format_of_output",
    "lost",
    "make_conversation",
    "of_session",
    "without",
]
