"""Training that begins from a checkpoint: its weights, its codec and its layout, with other stages.

What the checkpoint is stays as it is; a run says of the parts only what training alone looks at:
SpecAugment (``mask``), options of losses, and new adapters (``lora``). Tables that come of data
follow these rules:

* **units** of CTC: where a stage learns them, those that the checkpoint does not know get new rows
  of the head (and of the sums of voices), behind the known ones;
* **voices** (classes of the speaker classifier, sums of the linear model): where a stage learns
  them and a training speaker is not known, the table is that of the training data; the classes and
  the sums begin anew, all else of the two is loaded.

Everything else is loaded, weight by weight.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.markers import atomic_path, file_sha256
from talkover.model.checkpoints import WEIGHTS, check_checkpoint, load_model
from talkover.model.codec import SatsCodec
from talkover.model.config import Parts, SatsConfig, Tables
from talkover.model.lora import insert_lora
from talkover.model.modeling import SatsModel
from talkover.model.stages import TrainConfig

MARK = Path("run") / "start.json"
"""What a run began from; one that goes on must have begun from the same."""

OF_THE_RUN = ("mask", "losses", "lora", "tables")
"""Parts that a run may say otherwise; see the module."""

TEXTS = (
    "layout.before",
    "layout.stream_open",
    "layout.stream_close",
    "layout.use_prompt",
    "layout.prompt",
    "layout.after",
    "layout.registration_form",
    "codec.tokenizer",
    "codec.vocab_size",
    "longest",
)
"""Settings of a preset that are no architecture: those of the checkpoint stay, which is said."""

FREE = ("lm.attention",)
"""Settings that change no weight and no text."""

OF_FOLDERS = ("lm.path", "semantic.options.path", "speaker.options.path")
"""Where weights came from before there was a checkpoint; it needs them no more."""

UNITS = ("ctc", "onsets")
VOICES = ("speaker", "voices")
"""Losses that learn a table."""

GROWING = ("unit_head.", "voices.")
"""Weights and sums with a row or column for each unit."""

SHOWN = 3
"""Names that a note tells."""

Difference = tuple[str, Any, Any]
"""Dotted name, what is wanted, what the checkpoint has."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a model must know of the data."""

    units: Sequence[int]
    """Tokens of the words."""
    voices: Sequence[str]
    """Speakers, at each speed."""


def checkpoint_parts(folder: Path | str) -> Parts:
    """The parts of a checkpoint; weights are not read.

    Raises:
        ConfigurationError: If the folder is no checkpoint of a SATS model.
    """
    folder = Path(folder)
    check_checkpoint(folder)
    config: SatsConfig = SatsConfig.from_pretrained(folder, local_files_only=True)
    return config.typed()


def started_parts(wanted: Parts, folder: Path | str) -> tuple[Parts, tuple[str, ...]]:
    """The parts of a checkpoint, trained as the wanted ones say; and what is to be told of it.

    Args:
        wanted: Of a preset, or of the checkpoint itself.
        folder: The checkpoint.

    Raises:
        ConfigurationError: If the wanted parts are of another architecture; names the first part.
    """
    found = checkpoint_parts(folder)
    kept = []
    for name, mine, other in differences(wanted.plain(), found.plain()):
        if name not in TEXTS:
            raise ConfigurationError(
                f"{folder}: is of another architecture: model.{name} is {_short(other)} there, and "
                f"{_short(mine)} is asked for; leave out --preset to take all from the checkpoint"
            )
        kept.append(f"model.{name} stays that of the checkpoint, {_short(other)}")
    lora = wanted.lora or found.lora
    if found.lora is not None and wanted.lora != found.lora:
        raise ConfigurationError(
            f"{folder}: has adapters of its own, and model.lora asks for other ones or for none: "
            "merge them first, by `talkover merge-adapters`"
        )
    parts = replace(found, mask=wanted.mask, losses=wanted.losses, lora=lora)
    return parts, tuple(kept)


def differences(wanted: Any, found: Any, name: str = "") -> Iterator[Difference]:
    """Where a checkpoint has something else than is wanted; more than is wanted is no difference.

    Args:
        wanted: Parts as JSON values, perhaps incomplete.
        found: Those of the checkpoint.
        name: Dotted place of the two.
    """
    if name in OF_THE_RUN or name in FREE or (name in OF_FOLDERS and wanted is None):
        return
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            place = f"{name}.{key}" if name else key
            yield from differences(value, found.get(key), place)
    elif wanted != found:
        yield name, wanted, found


def begin(
    folder: Path | str,
    parts: Parts,
    training: TrainConfig,
    known_of: Callable[[SatsCodec], Known],
) -> tuple[SatsModel, SatsCodec, tuple[str, ...]]:
    """The model with which a run begins.

    Args:
        folder: The checkpoint.
        parts: See `started_parts`.
        training: Which losses are learned, and the seed of what is new.
        known_of: From the checkpoint's codec to what must be known of the data.

    Returns:
        Model, codec, and what is to be told.

    Raises:
        ConfigurationError: If voices would be lost.
    """
    loaded, codec = load_model(folder)
    tables, notes = grown_tables(loaded.parts, training, known_of(codec))
    torch.manual_seed(training.seed)
    # Adapters come last: the weights of the checkpoint may know nothing of them.
    now = replace(parts, tables=tables, lora=loaded.parts.lora)
    model = loaded
    if tables != loaded.parts.tables:
        model = SatsModel(SatsConfig.of(now))
        _copy(loaded, model)
    if parts.lora is not None and loaded.parts.lora is None:
        count = insert_lora(model, parts.lora)
        notes = (*notes, f"{count} linear maps have new adapters")
        now = replace(now, lora=parts.lora)
    model.parts = now
    model.config.parts = now.plain()
    return model, codec, notes


def grown_tables(
    parts: Parts, training: TrainConfig, known: Known
) -> tuple[Tables, tuple[str, ...]]:
    """The tables of the model for other data, and what is new in them.

    Raises:
        ConfigurationError: If voices would begin anew and no stage learns them.
    """
    tables, notes = parts.tables, []
    learned = {loss for stage in training.stages for loss in stage.losses}
    new = sorted(set(known.units) - set(tables.units))
    if new and learned.intersection(UNITS):
        notes.append(f"the head of CTC learns {len(new)} units besides {len(tables.units)}")
        tables = replace(tables, units=(*tables.units, *new))
    strangers = [name for name in known.voices if name not in set(tables.voices)]
    needed = {"speaker"} if parts.voices is None else set(VOICES)
    if strangers and learned.intersection(needed):
        if parts.voices is not None and "voices" not in learned:
            raise ConfigurationError(
                "new speakers would make the sums of voices begin anew, and no stage counts them: "
                "add voices to the losses of a stage, or leave out the loss speaker"
            )
        shown = ", ".join(strangers[:SHOWN]) + (", …" if strangers[SHOWN:] else "")
        notes.append(
            f"classes and sums of voices begin anew: {len(strangers)} of {len(known.voices)} "
            f"speakers are not those of the checkpoint ({shown})"
        )
        tables = replace(tables, voices=tuple(known.voices))
    return tables, tuple(notes)


def _copy(old: SatsModel, new: SatsModel) -> None:
    """Load all but the tables that changed."""
    before, state = old.state_dict(), new.state_dict()
    is_same = old.parts.tables.voices == new.parts.tables.voices
    for name, own in state.items():
        if name not in before or (_is_of_voices(name) and not is_same):
            continue  # new with the table
        rows = before[name]
        assert own.shape == rows.shape or name.startswith(GROWING), name
        own[tuple(slice(size) for size in rows.shape)].copy_(rows)
    new.load_state_dict(state)


def _is_of_voices(name: str) -> bool:
    return name == "classifier.classes" or name.startswith("voices.")


def mark_of(folder: Path | str | None) -> dict[str, str]:
    """What `MARK` says of a start; nothing of a run that began at random."""
    return {} if folder is None else {"weights_sha256": file_sha256(Path(folder) / WEIGHTS)}


def check_mark(out: Path, mark: Mapping[str, str]) -> None:
    """Refuse to go on with a run that began from something else.

    Raises:
        ConfigurationError: If it did.
    """
    file = out / MARK
    found = json.loads(file.read_text(encoding="utf8")) if file.is_file() else {}
    if found != mark:
        began = "from another checkpoint" if found else "without one"
        wanted = "that of --start" if mark else "none"
        raise ConfigurationError(
            f"{out}: holds a run that began {began}, and {wanted} is asked for: give the same "
            "--start, or choose another folder"
        )


def write_mark(out: Path, mark: Mapping[str, str]) -> None:
    """Say what a run begins from."""
    if not mark:
        (out / MARK).unlink(missing_ok=True)
        return
    (out / MARK).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out / MARK) as temporary:
        temporary.write_text(json.dumps(mark) + "\n", encoding="utf8")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
