"""The JSON Schemas of a line of ``cuts.jsonl`` and of ``instructions.jsonl``, for other languages.

``python -m talkover.manifests.json_schema`` writes it anew after a change of the contract.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from talkover.manifests.instructions.rows import INSTRUCTIONS_VERSION, InstructionRow
from talkover.manifests.lhotse_form import CutLine
from talkover.manifests.markers import atomic_path
from talkover.manifests.schema import SCHEMA_VERSION

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILE_NAME = "session.schema.json"
INSTRUCTIONS_NAME = "instructions.schema.json"


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


def instructions_schema_text() -> str:
    """The schema of a line of ``instructions.jsonl``, as it is published."""
    schema = {
        "$schema": DIALECT,
        "$comment": f"talkover instruction row, schema version {INSTRUCTIONS_VERSION}",
        **InstructionRow.model_json_schema(mode="validation"),
        "title": "A line of instructions.jsonl: what is asked of a stretch of a session",
    }
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def published_path(name: str = FILE_NAME) -> Path:
    """Where the package holds a published schema."""
    return Path(str(files("talkover.manifests"))) / "data" / name


def main() -> None:
    """Write the published schemas anew."""
    texts = {FILE_NAME: schema_text(), INSTRUCTIONS_NAME: instructions_schema_text()}
    for name, text in texts.items():
        with atomic_path(published_path(name)) as temporary:
            temporary.write_text(text, encoding="utf8")
        print(published_path(name))


if __name__ == "__main__":
    main()
