"""The published JSON Schema is current, and says yes and no where we do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.io import session_line
from talkover.manifests.json_schema import published_path, schema_text
from talkover.manifests.lhotse_form import parse_line, to_cut
from talkover.manifests.schema import Session

Plant = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(published_path().read_text(encoding="utf8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_published_schema_is_current() -> None:
    assert published_path().read_text(encoding="utf8") == schema_text(), (
        "the contract has changed: run python -m talkover.manifests.json_schema"
    )


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_lines_that_we_write_are_accepted(
    validator: jsonschema.Draft202012Validator,
    sessions: st.SearchStrategy[Session],
    data: st.DataObject,
) -> None:
    line = json.loads(session_line(data.draw(sessions)))
    assert list(validator.iter_errors(line)) == []


def test_a_line_with_everything_is_accepted(
    validator: jsonschema.Draft202012Validator, full_session: Session
) -> None:
    assert list(validator.iter_errors(json.loads(session_line(full_session)))) == []


@pytest.mark.parametrize(
    "plant",
    [
        lambda c: c.update(id="a/b"),
        lambda c: c.update(extra=1),
        lambda c: c.update(start=1.0),
        lambda c: c.pop("recording"),
        lambda c: c["recording"]["sources"].append(c["recording"]["sources"][0]),
        lambda c: c["recording"]["sources"][0].update(source="../x.wav"),
        lambda c: c["supervisions"][0].update(start="0.1"),
        lambda c: c["supervisions"][0].update(duration=-1.0),
        lambda c: c["supervisions"][0]["alignment"]["word"][0].append(1),
        lambda c: c["supervisions"][0]["custom"]["talkover"].update(role="guest"),
        lambda c: c["custom"]["talkover"]["audio"].update(sha256="abc"),
        lambda c: c["custom"]["talkover"].update(surprise=True),
    ],
)
def test_a_mutated_line_is_rejected_by_schema_and_reader(
    validator: jsonschema.Draft202012Validator, full_session: Session, plant: Plant
) -> None:
    cut = json.loads(json.dumps(to_cut(full_session)))
    assert validator.is_valid(cut)
    plant(cut)
    assert not validator.is_valid(cut)
    assert parse_line(json.dumps(cut)).problems
