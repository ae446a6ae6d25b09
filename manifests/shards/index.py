"""The index of shards: which files there are, and where in them each session lies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from talkover.manifests.errors import ManifestError
from talkover.manifests.schema import Contract, RelativePath, SafeId, Seconds, Sha256
from talkover.manifests.shards.places import Place

ShardFormat = Literal["shar", "webdataset"]

INDEX = "index.json"
"""Name of the index in the folder that holds ``shards/``."""

Count = Annotated[int, Field(ge=0)]
IndexSpan = Annotated[tuple[Count, Count], Field(description="Offset and number of bytes.")]


class ShardFile(Contract):
    """One file of a shard."""

    path: RelativePath
    """Below the folder of the index."""
    size: Count
    """In bytes."""
    sha256: Sha256


class Entry(Contract):
    """One session of a shard."""

    id: SafeId
    num_samples: Count
    seconds: Seconds
    labels: IndexSpan
    """Its line of ``cuts.jsonl``, in the file of labels; of Shar, a gzip member of its own."""
    audio: IndexSpan
    """Its audio file, unchanged, in the file of audio."""


class Shard(Contract):
    """A run of consecutive sessions."""

    labels: ShardFile
    audio: ShardFile
    """Of WebDataset the same file as ``labels``."""
    num_sessions: Count
    num_samples: Count
    seconds: Seconds
    sessions: tuple[Entry, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for entry in self.sessions:
            for file, span in ((self.labels, entry.labels), (self.audio, entry.audio)):
                if sum(span) > file.size:
                    raise ValueError(f"{entry.id} ends behind the {file.size} bytes of {file.path}")
        return self


class Index(Contract):
    """All shards of a corpus, in the order of its sessions."""

    version: Literal[1] = 1
    format: ShardFormat
    inputs_hash: Sha256
    """Of the lines of the corpus and what else decides the bytes."""
    num_sessions: Count
    seconds: Seconds
    shards: tuple[Shard, ...]


def index_text(index: Index) -> str:
    """An index as its file: one shard a line."""
    plain = index.model_dump(mode="json")
    shards = [json.dumps(one, sort_keys=True, separators=(",", ":")) for one in plain["shards"]]
    plain["shards"] = []
    head = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return head.replace('"shards":[]', '"shards":[\n' + ",\n".join(shards) + "\n]") + "\n"


def read_index(
    where: Path | str, *, storage_options: Mapping[str, Any] | None = None
) -> tuple[Index, Place, str]:
    """An index, the folder that its paths are below, and the SHA-256 of its bytes.

    Args:
        where: Path or URL of the folder or of the index in it.
        storage_options: For fsspec's file system.

    Raises:
        ManifestError: If there is none or it is not an index.
    """
    place = Place.of(str(where).removesuffix(f"/{INDEX}"), storage_options)
    data = place.read(INDEX)
    try:
        index = Index.model_validate_json(data)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in fault["loc"])
        path = f"{place.url}/{INDEX}"
        raise ManifestError(f"not an index: {fault['msg']}", path=path, field=field) from error
    return index, place, hashlib.sha256(data).hexdigest()
