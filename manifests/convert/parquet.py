"""Parquet and Hugging Face `datasets`: a row a session, its turns and words in nested columns.

Everything fits: what only the data contract knows is the session's line of ``cuts.jsonl`` in the
column ``talkover``; the other columns are for those who do not want to know it. ``audio`` is the
path of the recording, relative to the file or folder, as text, so that opening a row needs no audio
decoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from talkover.manifests.convert.base import AudioNeed, Faults, WriteOptions
from talkover.manifests.convert.conversation import (
    Conversation,
    Recording,
    SpokenWord,
    Utterance,
    absolute,
    make_conversation,
)
from talkover.manifests.convert.losses import LOSSES
from talkover.manifests.errors import ConfigurationError, ManifestError, MissingExtraError
from talkover.manifests.io import session_line
from talkover.manifests.lhotse_form import session_of_line
from talkover.manifests.markers import atomic_path

Row = dict[str, Any]

SPAN = {"start": "float64", "end": "float64"}
WORD = {"symbol": "string", **SPAN, "score": "float64"}
UTTERANCE: dict[str, Any] = {
    "id": "string",
    "speaker": "string",
    **SPAN,
    "text": "string",
    "language": "string",
    "gender": "string",
    "turn": "string",
    "words": [WORD],
    "regions": [SPAN],
}
COLUMNS: dict[str, Any] = {
    "id": "string",
    "audio": "string",
    "sampling_rate": "int64",
    "num_samples": "int64",
    "num_channels": "int64",
    "duration": "float64",
    "utterances": [UTTERANCE],
    "uem": [SPAN],
    "talkover": "string",
}
"""Columns and their types; a list holds items of its one element, a mapping its fields."""

_BATCH = 256  # sessions that are turned into a row group at a time


class Parquet:
    """Reads and writes one Parquet file."""

    name = "parquet"
    suffixes: tuple[str, ...] = (".parquet",)
    is_folder = False
    audio: AudioNeed = "optional"
    losses = LOSSES["parquet"]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """A conversation of each row; a folder is read file by file."""
        parquet = _pyarrow("pyarrow.parquet")
        files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        if not files:
            raise ManifestError("folder holds no Parquet file", path=path)
        for file in files:
            try:
                table = parquet.ParquetFile(file)
            except (OSError, ValueError) as error:
                raise ManifestError(f"cannot be read as Parquet: {error}", path=file) from error
            _require(table.schema_arrow.names, file)
            rows = (row for batch in table.iter_batches(_BATCH) for row in batch.to_pylist())
            yield from _conversations(rows, file, file.parent, faults)

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """One file, `_BATCH` sessions a row group."""
        arrow, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
        schema = arrow.schema([(name, _arrow(kind)) for name, kind in COLUMNS.items()])
        with (
            atomic_path(path) as temporary,
            parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for rows in _batches(_row(c, options) for c in conversations):
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))


class HuggingFace:
    """Reads and writes a folder of `datasets.Dataset.save_to_disk`."""

    name = "datasets"
    suffixes: tuple[str, ...] = ()
    is_folder = True
    audio: AudioNeed = "optional"
    losses = LOSSES["datasets"]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """A conversation of each row, split by split."""
        datasets = _datasets()
        try:
            loaded = datasets.load_from_disk(str(path))
        except (OSError, ValueError) as error:
            raise ManifestError(f"no folder of datasets: {error}", path=path) from error
        splits = loaded.values() if isinstance(loaded, datasets.DatasetDict) else [loaded]
        for split in splits:
            _require(split.column_names, path)
            yield from _conversations(iter(split), path, path, faults)

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """A folder that `datasets.load_from_disk` opens.

        Raises:
            ConfigurationError: If the folder holds something else.
        """
        datasets, arrow = _datasets(), _pyarrow("pyarrow")
        if path.is_dir() and any(path.iterdir()) and not (path / "state.json").is_file():
            raise ConfigurationError(f"{path} holds something else than a dataset: choose another")
        schema = arrow.schema([(name, _arrow(kind)) for name, kind in COLUMNS.items()])
        tables = [
            arrow.Table.from_pylist(rows, schema=schema)
            for rows in _batches(_row(c, options) for c in conversations)
        ]
        table = arrow.concat_tables(tables) if tables else schema.empty_table()
        made = datasets.Dataset(table, fingerprint="talkover")  # else a random one is drawn
        with _quiet(datasets):
            made.save_to_disk(str(path))


def _row(conversation: Conversation, options: WriteOptions) -> Row:
    recording = conversation.recording
    name = conversation.id
    return {
        "id": name,
        "audio": None if recording is None else options.audio_path(recording, name),
        "sampling_rate": recording.sampling_rate if recording else None,
        "num_samples": recording.num_samples if recording else None,
        "num_channels": recording.num_channels if recording else None,
        "duration": conversation.duration,
        "utterances": [_utterance_row(u) for u in conversation.utterances],
        "uem": None if conversation.uem is None else _spans(conversation.uem),
        "talkover": None if conversation.session is None else session_line(conversation.session),
    }


def _utterance_row(u: Utterance) -> Row:
    words = None
    if u.words is not None:
        words = [{name: getattr(word, name) for name in WORD} for word in u.words]
    regions = None if u.regions is None else _spans(u.regions)
    plain = {name: getattr(u, name) for name in UTTERANCE if name not in ("words", "regions")}
    return {**plain, "words": words, "regions": regions}


def _spans(spans: Iterable[tuple[float, float]]) -> list[Row]:
    return [{"start": start, "end": end} for start, end in spans]


def _conversations(
    rows: Iterator[Row], path: Path, folder: Path, faults: Faults
) -> Iterator[Conversation]:
    for number, row in enumerate(rows):
        try:
            yield _conversation(row, folder)
        except ManifestError as error:
            field = f"[{number}].{error.field or ''}".rstrip(".")
            faults.take(ManifestError(error.reason, path=path, field=field))
        except (TypeError, KeyError, ValueError) as error:
            reason = f"not a row as talkover writes it: {error!r}"
            faults.take(ManifestError(reason, path=path, field=f"[{number}]"))


def _conversation(row: Row, folder: Path) -> Conversation:
    audio = row["audio"]
    recording = None
    if audio is not None:
        recording = Recording(
            path=absolute(folder, audio),
            sampling_rate=row["sampling_rate"],
            num_samples=row["num_samples"],
            num_channels=row["num_channels"],
        )
    return make_conversation(
        row["id"],
        [_utterance(item) for item in row["utterances"]],
        recording=recording,
        uem=None if row["uem"] is None else [(s["start"], s["end"]) for s in row["uem"]],
        session=None if row["talkover"] is None else session_of_line(row["talkover"]),
    )


def _utterance(row: Row) -> Utterance:
    words, regions = row["words"], row["regions"]
    plain = {name: row[name] for name in UTTERANCE if name not in ("words", "regions")}
    return Utterance(
        **plain,
        words=None if words is None else tuple(SpokenWord(**word) for word in words),
        regions=None if regions is None else tuple((r["start"], r["end"]) for r in regions),
    )


def _require(columns: list[str], path: Path) -> None:
    if missing := [name for name in COLUMNS if name not in columns]:
        raise ManifestError(
            f"lacks the columns {', '.join(missing)}; has {', '.join(columns)}", path=path
        )


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _arrow(kind: Any) -> Any:
    """The Arrow type of an entry of `COLUMNS`."""
    arrow = _pyarrow("pyarrow")
    if isinstance(kind, list):
        return arrow.list_(_arrow(kind[0]))
    if isinstance(kind, dict):
        return arrow.struct([(name, _arrow(value)) for name, value in kind.items()])
    return getattr(arrow, kind)()


def _pyarrow(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError("pyarrow", "audit", "Parquet") from error


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", "audit", "Hugging Face datasets") from error
    return datasets


class _quiet:
    """No bar of `datasets` while a folder is written."""

    def __init__(self, datasets: Any) -> None:
        self._datasets = datasets
        self._was_on = datasets.utils.logging.is_progress_bar_enabled()

    def __enter__(self) -> None:
        self._datasets.utils.logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        if self._was_on:
            self._datasets.utils.logging.enable_progress_bar()
