"""Presets: a model and its training under one name.

Five published systems are settings of the one model, without a class of their own; each file says
what is published and what is reconstructed. `tiny` is ours.
"""

from talkover.model.presets.base import Preset
from talkover.model.presets.change import changed_preset
from talkover.model.presets.small import small
from talkover.model.presets.table import PRESETS, PUBLISHED, preset, preset_names

__all__ = [
    "PRESETS",
    "PUBLISHED",
    "Preset",
    "changed_preset",
    "preset",
    "preset_names",
    "small",
]
