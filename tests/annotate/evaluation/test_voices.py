"""Enrolment: clips hold one voice alone, and who is taken for whom is counted right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from talkover.annotate.config import AnnotationConfig
from talkover.annotate.evaluation import voices
from talkover.annotate.evaluation.sides import Annotated, read_annotated, read_known
from talkover.annotate.evaluation.voices import (
    Enrolled,
    Recognition,
    count_recognised,
    enrol_groups,
    stretches_alone,
)
from talkover.annotate.run import annotate_files
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import RecognisedVoice
from talkover.manifests.score.sessions import Region
from talkover.manifests.score.sides import make_side
from talkover.manifests.score.spans import total


def test_alone_is_where_nobody_else_speaks() -> None:
    side = make_side(
        [Region("a", 0, 10), Region("b", 4, 5), Region("b", 9, 12), Region("c", 20, 21)]
    )
    alone = {name: spans.tolist() for name, spans in stretches_alone(side).items()}
    assert alone == {"a": [[0, 4], [5, 9]], "b": [[10, 12]], "c": [[20, 21]]}


def test_clips_are_as_long_as_the_voice_is_alone(
    sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voices, "LEAST_ALONE", 0.5)
    known = read_known([sessions])
    groups = enrol_groups(known, tmp_path / "voices", seed=0)
    assert len(groups) == 1 and groups[0].origin
    by_name = {one.name: one for one in known}
    for speaker, name in groups[0].origin.items():
        clip, rate = soundfile.read(groups[0].folder / f"{speaker}.wav")
        side = voices.side_of_session(by_name[name].session)
        spoken = min(total(stretches_alone(side)[speaker]), voices.MOST_ENROLLED)
        assert len(clip) / rate == pytest.approx(spoken, abs=0.01)
        assert np.abs(clip).max() > 0.01
    again = enrol_groups(known, tmp_path / "again", seed=0)
    assert [group.origin for group in again] == [group.origin for group in groups]


def test_nobody_can_be_enrolled_from_one_session(sessions: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nobody can be enrolled"):
        enrol_groups(read_known([sessions])[:1], tmp_path, seed=0)


@given(st.lists(st.integers(0, 60), unique=True, max_size=40))
def test_groups_hold_every_voice_once_and_no_person_twice(numbers: list[int]) -> None:
    names = [f"p{number % 7}-x{number}" for number in numbers]

    def kin(name: str) -> str:
        return name.partition("-")[0]

    groups = voices._groups(names, kin)
    assert sorted(name for group in groups for name in group) == sorted(names)
    for group in groups:
        assert 0 < len(group) <= voices.GROUP
        assert len({kin(name) for name in group}) == len(group)


def test_counts_of_groups_add_up_by_person() -> None:
    one = Recognition(enrolled=5, known=2, right=1, unknown=3, accepted=1, strangers={"a": (3, 1)})
    two = Recognition(
        enrolled=4, unknown=2, accepted=1, too_short=1, strangers={"a": (1, 0), "b": (1, 1)}
    )
    both = one + two
    assert (both.enrolled, both.groups, both.known, both.right) == (9, 2, 2, 1)
    assert both.strangers == {"a": (4, 1), "b": (1, 1)}
    assert (both.unknown, both.accepted, both.too_short) == (5, 2, 1)
    assert both.accepted_share == pytest.approx(0.4)


def _recognising(said: Annotated, names: dict[str, str | None]) -> Annotated:
    """What was annotated, with a name for each true speaker; local speakers are in their order."""
    changed = {}
    for digest, session in said.sessions.items():
        assert session.annotation is not None
        found = tuple(
            RecognisedVoice(speaker_local=local, name=names.get(speaker), similarity=0.5)
            for local, speaker in sorted(_truth(session).items())
        )
        annotation = session.annotation.model_copy(update={"recognised": found})
        changed[digest] = session.model_copy(update={"annotation": annotation})
    return replace(said, sessions=changed)


_TRUTH: dict[str, dict[str, str]] = {}


def _truth(session: object) -> dict[str, str]:
    return _TRUTH[session.audio.sha256]  # type: ignore[attr-defined]


def test_who_is_taken_for_whom_is_counted(
    sessions: Path, tmp_path: Path, oracle: Callable[..., AnnotationConfig]
) -> None:
    known = read_known([sessions])
    annotate_files([k.audio for k in known], tmp_path / "out", config=oracle(), executor="serial")
    said = read_annotated(tmp_path / "out")
    total_speakers = 0
    for one in known:
        session = said.sessions[str(one.session.audio.sha256)]
        reference = voices.side_of_session(one.session)
        _TRUTH[str(one.session.audio.sha256)] = voices.dominant_speakers(reference, session)
        total_speakers += len(reference.activity)
    assert sum(map(len, _TRUTH.values())) == total_speakers
    everybody = sorted({name for truth in _TRUTH.values() for name in truth.values()})
    friend = everybody[0]
    enrolled = Enrolled(folder=tmp_path, origin={friend: "another session"})

    right = count_recognised(known, _recognising(said, {friend: friend}), enrolled)
    assert (right.right, right.wrong, right.accepted) == (right.known, 0, 0)
    assert right.known + right.unknown == total_speakers and right.known > 0

    all_taken = count_recognised(
        known, _recognising(said, dict.fromkeys(everybody, friend)), enrolled
    )
    assert all_taken.accepted == all_taken.unknown > 0 and all_taken.accepted_share == 1.0

    confused = count_recognised(known, _recognising(said, {friend: "somebody"}), enrolled)
    assert (confused.right, confused.wrong) == (0, confused.known)

    same_person = count_recognised(
        known, _recognising(said, {friend: friend}), enrolled, kin=lambda name: "one"
    )
    assert same_person.unknown == 0 and same_person.accepted_share is None

    assert sum(trials for trials, _ in all_taken.strangers.values()) == all_taken.unknown
    assert friend not in all_taken.strangers

    home = next(one.name for one in known if friend in voices.side_of_session(one.session).activity)
    at_home = Enrolled(folder=tmp_path, origin={friend: home})
    fewer = count_recognised(known, _recognising(said, {friend: friend}), at_home)
    assert fewer.known == right.known - 1
