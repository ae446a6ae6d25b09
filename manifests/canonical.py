"""One text for one JSON value, so that it can be hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue


def canonical_json(value: Mapping[str, JsonValue] | Sequence[JsonValue]) -> str:
    """JSON with sorted keys and without white space.

    >>> canonical_json({"b": [1.5], "a": None})
    '{"a":null,"b":[1.5]}'
    """
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def json_sha256(value: Mapping[str, JsonValue] | Sequence[JsonValue]) -> str:
    """SHA-256 of `canonical_json`, as in ``provenance.configuration_hash``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
