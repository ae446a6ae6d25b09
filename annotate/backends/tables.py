"""Which backends there are of each kind: the built-in ones, and adapters for models of users.

The tables are read when they are asked for, and an adapter imports its library only when it is
loaded: nothing heavy is imported for a name.
"""

from __future__ import annotations

import importlib
from typing import Any

from talkover.annotate.backends.base import Kind

BUILT_IN: dict[Kind, tuple[str, str]] = {
    "vad": ("vad", "VADS"),
    "activity": ("activity", "ACTIVITIES"),
    "diarizer": ("diarizer", "DIARIZERS"),
    "embedder": ("embedder", "EMBEDDERS"),
    "music": ("music", "MUSICS"),
    "events": ("events", "EVENTS"),
    "quality": ("quality", "QUALITIES"),
}
"""Module of `talkover.annotate.backends`, and its table of classes by name."""

ADAPTERS: dict[Kind, dict[str, tuple[str, str]]] = {
    "diarizer": {"pyannote": ("pyannote_diarizer", "PyannoteDiarizer")},
    "events": {
        "ast": ("audio_tagger", "AudioTagger"),
        "clap": ("clap_events", "ClapEvents"),
    },
}
"""Adapters for models that a user has, module and class by name."""


def backends_of(kind: Kind) -> dict[str, type[Any]]:
    """Classes of a kind by name; entry points are looked up by `base.make_backend`."""
    found: dict[str, type[Any]] = {}
    if kind in BUILT_IN:
        module, table = BUILT_IN[kind]
        found.update(getattr(_module(module), table))
    for name, (module, adapter) in ADAPTERS.get(kind, {}).items():
        found[name] = getattr(_module(module), adapter)
    return found


def _module(name: str) -> Any:
    return importlib.import_module(f"talkover.annotate.backends.{name}")
