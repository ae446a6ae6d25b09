"""From a published checkpoint to one of ours, with nothing left over on either side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from talkover.manifests.errors import ConfigurationError
from talkover.model.build import with_vocabulary
from talkover.model.checkpoints import save_model
from talkover.model.codec import SatsCodec
from talkover.model.config import Parts, SatsConfig, Tables
from talkover.model.importing.moss_audio import moss_audio
from talkover.model.importing.moss_td import moss_td
from talkover.model.importing.source import CONFIG, Importer, Source
from talkover.model.importing.tagspeech import tagspeech
from talkover.model.importing.template import with_template
from talkover.model.importing.weights import copy_weights
from talkover.model.modeling import SatsModel
from talkover.model.presets import preset
from talkover.model.tokens import load_tokenizer

IMPORTERS: Mapping[str, Importer] = {
    "moss_td": moss_td,
    "moss_audio": moss_audio,
    "tagspeech": tagspeech,
}
"""By the name of the preset."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A checkpoint in our terms."""

    model: SatsModel
    codec: SatsCodec
    notes: tuple[str, ...] = ()
    """What differs from the published system."""


def import_checkpoint(
    folder: Path | str, preset_name: str, out: Path | str, *, prompt: str | None = None
) -> Imported:
    """Read a published checkpoint and write it as one of ours, in float32.

    Args:
        folder: As it was published: ``config.json``, safetensors, tokenizer; nothing is downloaded.
        preset_name: The system it is of; a name of `IMPORTERS`.
        out: Folder to write, for ``talkover transcribe``.
        prompt: Instruction behind the audio; None takes that of the folder's chat template, or
            where it has none, our own.

    Raises:
        ConfigurationError: If the folder cannot be used, or weights are missing or left over.
    """
    out = Path(out)
    if (out / CONFIG).exists():
        raise ConfigurationError(f"{out}: holds a checkpoint already: choose another folder")
    imported = read_checkpoint(folder, preset_name, prompt=prompt)
    save_model(imported.model, imported.codec, out)
    return imported


def read_checkpoint(folder: Path | str, preset_name: str, *, prompt: str | None = None) -> Imported:
    """As `import_checkpoint`, without writing anything."""
    folder = Path(folder)
    if preset_name not in IMPORTERS:
        raise ConfigurationError(
            f"no importer for {preset_name!r}: choose from {', '.join(IMPORTERS)}"
        )
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder (nothing is ever downloaded)")
    source = IMPORTERS[preset_name](folder, preset(preset_name).parts)
    codec = _codec(source)
    layout = source.parts.layout
    opening, closing = (
        text.strip("\n") for text in (layout.stream_open[0], layout.stream_close[0])
    )
    layout = with_template(
        layout, source.tokenizer, codec.tokenizer, opening=opening, closing=closing
    )
    if prompt is not None:
        layout = replace(layout, use_prompt=True, prompt=prompt)
    model = _model(replace(source.parts, layout=layout), codec)
    copy_weights(model, source.stored, source.rename)
    model.train(False)
    return Imported(model=model, codec=codec, notes=source.notes)


def _codec(source: Source) -> SatsCodec:
    config = source.parts.codec
    tokenizer = load_tokenizer(source.tokenizer, marks=config.marks, ahead=source.ahead)
    rows = int(source.parts.lm.config["vocab_size"])
    for token, index in source.ids.items():
        found = tokenizer.get_vocab()[token]
        if found != index:
            raise ConfigurationError(
                f"{source.tokenizer}: {token} has id {found}, the published code says {index}: not "
                "the tokenizer of this checkpoint"
            )
        if index >= rows:
            raise ConfigurationError(f"{source.tokenizer}: {token} is beyond the {rows} embeddings")
    return SatsCodec(config, tokenizer)


def _model(parts: Parts, codec: SatsCodec) -> SatsModel:
    """With room for every token, and at least as many rows as were published."""
    rows = int(parts.lm.config["vocab_size"])
    lm = with_vocabulary(parts.lm, codec)
    config: dict[str, Any] = {**lm.config, "vocab_size": max(rows, len(codec))}
    tables = Tables(times=tuple(codec.time_ids()), digits=codec.digit_ids())
    return SatsModel(SatsConfig.of(replace(parts, lm=replace(lm, config=config), tables=tables)))
