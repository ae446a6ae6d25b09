"""The JSON Schema of a line of ``cuts.jsonl``, for readers in other languages.

``python -m talkover.manifests.json_schema`` writes it anew after a change of the contract.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from talkover.manifests.lhotse_form import CutLine
from talkover.manifests.markers import atomic_path
from talkover.manifests.schema import SCHEMA_VERSION

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILE_NAME = "session.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema, in the dialect of 2020-12, made from the classes that parse a line.

    What two fields must say of each other is not in it: that is for `talkover validate`.
    """
    return {
        "$schema": DIALECT,
        "$comment": f"talkover session, schema version {SCHEMA_VERSION}",
        **CutLine.model_json_schema(mode="validation"),
        "title": "A line of cuts.jsonl: one session as a Lhotse cut",
    }


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(json_schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def published_path() -> Path:
    """Where the package holds the published schema."""
    return Path(str(files("talkover.manifests"))) / "data" / FILE_NAME


def main() -> None:
    """Write the published schema anew."""
    with atomic_path(published_path()) as temporary:
        temporary.write_text(schema_text(), encoding="utf8")
    print(published_path())


if __name__ == "__main__":
    main()
