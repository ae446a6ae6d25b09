"""The loss table: what is taken out stays out, and only what is there is said to be lost."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkover.manifests.convert import (
    LOSSES,
    Conversation,
    SpokenWord,
    Utterance,
    converter,
    lost,
    make_conversation,
    of_session,
    without,
)
from talkover.manifests.convert.contract_form import letters
from talkover.manifests.convert.label_files import Rttm
from talkover.manifests.convert.safe_names import safe_name
from talkover.manifests.schema import Session


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_was_taken_out_is_not_lost_again(
    data: st.DataObject, conversations: st.SearchStrategy[Conversation]
) -> None:
    drawn = data.draw(conversations)
    for name, losses in LOSSES.items():
        left = without(drawn, losses)
        if left is None:
            assert "empty" in {loss.name for loss in lost(drawn, losses)} or name == "uem"
            continue
        assert without(left, losses) == left, name
        assert lost(left, losses) == [], name
        assert (left == drawn) == (lost(drawn, losses) == []), name


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nobody_is_lost_without_a_word_that_blocks(
    data: st.DataObject, conversations: st.SearchStrategy[Conversation]
) -> None:
    """Who speaks when, and what they say, is the same unless a loss that needs leave is told."""
    drawn = data.draw(conversations)

    def essence(c: Conversation) -> list[tuple[object, ...]]:
        """Turns by their samples and letters; names may change, but not who is who."""
        names: dict[str, int] = {}
        rows = []
        for u in c.utterances:
            said = None if u.text is None else letters(u.text)
            who = names.setdefault(u.speaker, len(names))
            rows.append((round(u.start, 1), round(u.end, 1), who, said))
        return sorted(rows, key=str)

    for name, losses in LOSSES.items():
        if any(loss.blocks for loss in lost(drawn, losses)) or name == "lhotse":
            continue  # lhotse splits turns at pauses, which is told
        left = without(drawn, losses)
        assert left is not None
        assert len(left.utterances) == len(drawn.utterances), name
        if len({u.speaker for u in left.utterances}) == len({u.speaker for u in drawn.utterances}):
            gap = [
                (a, b)
                for a, b in zip(essence(left), essence(drawn), strict=True)
                if abs(float(str(a[0])) - float(str(b[0]))) > 0.11
            ]
            assert gap == [], name


def test_a_session_of_ours_loses_nothing_where_all_of_it_fits(full_session: Session) -> None:
    conversation = of_session(full_session, Path("/somewhere"))
    for name in ("lhotse", "parquet", "datasets"):
        assert lost(conversation, LOSSES[name]) == []


def test_words_go_into_turns_by_pauses() -> None:
    words = tuple(
        SpokenWord(symbol=s, start=a, end=b)
        for s, a, b in (("你", 0.0, 0.5), ("好", 0.5, 1.0), ("yes", 1.25, 1.5), ("no", 1.6, 2.0))
    )
    turn = Utterance(speaker="ana", start=0.0, end=3.0, text="x", words=words)
    left = without(make_conversation("t", [turn]), LOSSES["ctm"])
    assert left is not None
    assert [(u.start, u.end, u.text) for u in left.utterances] == [
        (0.0, 1.0, "你好"), (1.25, 2.0, "yes no"),
    ]  # fmt: skip


def test_safe_names_are_ids_and_stay_apart() -> None:
    names = ["ana", "Mary Smith", "Mary_Smith", "Mary-Smith", "", "..", "a/b", "مريم", "x" * 300]
    safe = [safe_name(name) for name in names]
    assert safe[0] == "ana" and safe[2] == "Mary_Smith"
    assert len(set(safe)) == len(names)
    assert all(name and name[0] != "." and len(name) <= 200 and "/" not in name for name in safe)
    assert [safe_name(name) for name in safe] == safe


def test_other_packages_bring_converters(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint(
        name="theirs",
        group="talkover.converters",
        value="talkover.manifests.convert.label_files:Rttm",
    )

    def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        return [entry] if group == entry.group and name in (None, entry.name) else []

    monkeypatch.setattr("talkover.manifests.convert.registry.entry_points", entry_points)
    assert isinstance(converter("theirs"), Rttm)
    mine = Rttm()
    assert converter(mine) is mine
