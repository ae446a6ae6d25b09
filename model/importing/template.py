"""The texts around the audio, from the chat template that a checkpoint carries.

The template is rendered for one user's turn that holds audio alone; what stands before the audio,
between it and the end of the turn, and behind, are the texts of our layout.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from talkover.model.importing.source import read_json
from talkover.model.layout import LayoutConfig

TEMPLATE = "chat_template.jinja"
TURN_END = "<|im_end|>"


def with_template(
    layout: LayoutConfig, folder: Path, tokenizer: Any, *, opening: str, closing: str
) -> LayoutConfig:
    """A layout with the texts of the folder's template, if that places audio.

    Args:
        layout: Of the preset; stays where there is no template, or one that knows no audio.
        folder: Of the checkpoint.
        tokenizer: Of the checkpoint.
        opening: Control token ahead of the audio.
        closing: Control token behind it.
    """
    template = _template(folder)
    if template is None:
        return layout
    turn = [{"role": "user", "content": [{"type": "audio"}]}]
    shown = tokenizer.apply_chat_template(
        turn, chat_template=template, tokenize=False, add_generation_prompt=True
    )
    before, has_opening, rest = shown.partition(opening)
    _, has_closing, behind = rest.partition(closing)
    prompt, has_end, after = behind.partition(TURN_END)
    if not (has_opening and has_closing and has_end):
        return layout
    asked = prompt.strip("\n")
    gap = prompt[: len(prompt) - len(prompt.lstrip("\n"))]
    tail = prompt[len(gap) + len(asked) :]
    return replace(
        layout,
        before=before,
        stream_open=(opening, layout.stream_open[1]),
        stream_close=(closing + gap, layout.stream_close[1]),
        prompt=asked or layout.prompt,
        after=tail + TURN_END + after,
    )


def _template(folder: Path) -> str | None:
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf8")
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        found = (read_json(folder / name) or {}).get("chat_template")
        if isinstance(found, str):
            return found
    return None
