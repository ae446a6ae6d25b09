"""The table of formats of target text, and how to get one by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from talkover.manifests.serialize.base import Serializer
from talkover.manifests.serialize.blocks import Blocks
from talkover.manifests.serialize.change import SpeakerChange
from talkover.manifests.serialize.inline import Inline
from talkover.manifests.serialize.objects import Objects
from talkover.manifests.serialize.roles import Roles

FORMATS: dict[str, Callable[..., Serializer]] = {
    Inline.name: Inline,
    SpeakerChange.name: SpeakerChange,
    Roles.name: Roles,
    Blocks.name: Blocks,
    Objects.name: Objects,
}

ENTRY_POINT_GROUP = "talkover.serializers"


def serializer(name: str | Serializer, **options: Any) -> Serializer:
    """A format by name, or the given object itself.

    Args:
        name: A name of `FORMATS`, the name of an entry point in the group ``talkover.serializers``
            (a class or function that gives a `Serializer`), or a `Serializer`.
        options: Fields of the format, such as ``digits``.

    Raises:
        ValueError: If there is no format of this name, or options come with an object.

    >>> serializer("inline", digits=1).name
    'inline'
    """
    if not isinstance(name, str):
        if options:
            raise ValueError(f"options {sorted(options)} need the name of a format, not an object")
        return name
    if name in FORMATS:
        return FORMATS[name](**options)
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        made: Serializer = entry.load()(**options)
        return made
    raise ValueError(
        f"no format {name!r}: choose from {', '.join(FORMATS)}, or install a package with an "
        f"entry point of this name in the group {ENTRY_POINT_GROUP}"
    )
