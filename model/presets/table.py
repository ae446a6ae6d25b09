"""Presets by name."""

from __future__ import annotations

from collections.abc import Callable

from talkover.manifests.errors import ConfigurationError
from talkover.model.presets.balancing import balancing
from talkover.model.presets.base import Preset
from talkover.model.presets.moss_audio import moss_audio
from talkover.model.presets.moss_td import moss_td
from talkover.model.presets.small import small
from talkover.model.presets.speakerlm import speakerlm
from talkover.model.presets.tagspeech import tagspeech
from talkover.model.presets.tiny import tiny

PUBLISHED: dict[str, Callable[[], Preset]] = {
    "moss_td": moss_td,
    "balancing": balancing,
    "moss_audio": moss_audio,
    "speakerlm": speakerlm,
    "tagspeech": tagspeech,
}
"""Published systems at their true sizes."""

PRESETS: dict[str, Callable[[], Preset]] = {"tiny": tiny, **PUBLISHED}

SMALL = "-small"
"""Behind the name of a published system: its small form."""


def preset_names() -> tuple[str, ...]:
    """All names that `preset` knows."""
    return (*PRESETS, *(name + SMALL for name in PUBLISHED))


def preset(name: str) -> Preset:
    """A preset by name; ``moss_td-small`` is the small form of ``moss_td``.

    Raises:
        ConfigurationError: If there is none of this name.
    """
    if name not in preset_names():
        raise ConfigurationError(f"no preset {name!r}: choose from {', '.join(preset_names())}")
    if name.endswith(SMALL):
        return small(PUBLISHED[name.removesuffix(SMALL)]())
    return PRESETS[name]()
