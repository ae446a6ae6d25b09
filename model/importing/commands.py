"""The command that imports a published checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from talkover.manifests.terminal import Json, print_values


def import_checkpoint(
    folder: Annotated[
        Path, typer.Argument(help="Published checkpoint: config.json, safetensors, tokenizer.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    preset: Annotated[str, typer.Option(help="moss_td, moss_audio or tagspeech.")] = "moss_td",
    prompt: Annotated[
        str | None,
        typer.Option(help="Instruction behind the audio; default that of the folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a published checkpoint into our parts; transcribe goes on from the result.

    Example: talkover import-checkpoint MOSS-Transcribe-Diarize --preset moss_td --out moss
    """
    from talkover.model.importing.run import import_checkpoint as read_and_write

    imported = read_and_write(folder, preset, out, prompt=prompt)
    for note in imported.notes:
        print(note, file=sys.stderr)
    layout = imported.model.parts.layout
    values = {
        "folder": str(out),
        "preset": preset,
        "parameters": sum(p.numel() for p in imported.model.parameters()),
        "prompt": layout.prompt,
    }
    print_values(values, as_json)
