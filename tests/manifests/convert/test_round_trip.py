"""The law of every converter: what is written and read back is what the loss table leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkover.manifests.convert import (
    CONVERTERS,
    Conversation,
    Converter,
    Faults,
    WriteOptions,
    converter,
    lost,
    make_conversation,
    of_session,
    without,
)
from talkover.manifests.schema import Session

SMALL = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# The folder of ours needs the audio itself: see test_to_session.py.
FORMATS = [name for name in CONVERTERS if name != "lhotse"]
SLOW = {"datasets"}  # many files a folder: fewer examples, in `medium`


def round_trip(one: Converter, left: list[Conversation], folder: Path) -> list[Conversation]:
    """Write and read back."""
    target = folder / ("out" if one.is_folder else "out" + (one.suffixes or ("",))[0])
    if one.name == "textgrid":
        target = folder / "grids"
    one.write(target, left, WriteOptions(folder=target if one.is_folder else folder))
    if not left and not target.exists():
        return []
    return list(one.read(target, Faults()))


def check(name: str, conversation: Conversation, folder: Path) -> None:
    one = converter(name)
    left = without(conversation, one.losses)
    if left is None:
        assert any(loss.blocks for loss in lost(conversation, one.losses))
        return
    got = round_trip(one, [left], folder)
    if name in ("srt", "vtt", "audacity"):  # written as one file, whose name is the session's
        got = [make_conversation(left.id, c.utterances) for c in got]
    assert got == [left]


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in SLOW])
@SMALL
@given(data=st.data())
def test_conversations_of_anybody_come_back(
    name: str,
    data: st.DataObject,
    conversations: st.SearchStrategy[Conversation],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    check(name, data.draw(conversations), tmp_path_factory.mktemp("trip"))


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in SLOW])
@SMALL
@given(data=st.data())
def test_sessions_of_ours_come_back(
    name: str,
    data: st.DataObject,
    sessions: st.SearchStrategy[Session],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    session = data.draw(sessions)
    check(name, of_session(session, Path("/recordings")), tmp_path_factory.mktemp("trip"))


@pytest.mark.medium
@pytest.mark.parametrize("name", sorted(SLOW))
@settings(SMALL, max_examples=8)
@given(data=st.data())
def test_slow_formats_come_back_too(
    name: str,
    data: st.DataObject,
    conversations: st.SearchStrategy[Conversation],
    sessions: st.SearchStrategy[Session],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    pytest.importorskip("datasets", reason="datasets is in the extra `audit`")
    check(name, data.draw(conversations), tmp_path_factory.mktemp("trip"))
    session = data.draw(sessions)
    check(name, of_session(session, Path("/recordings")), tmp_path_factory.mktemp("trip"))


def test_every_format_is_held_to_the_law() -> None:
    assert set(FORMATS) | {"lhotse"} == set(CONVERTERS)
    assert len(FORMATS) == 17
