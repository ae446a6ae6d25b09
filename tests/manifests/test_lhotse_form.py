"""One line, two readers: ours and plain Lhotse see the same session."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ManifestError
from talkover.manifests.io import read_sessions, session_line, write_sessions
from talkover.manifests.lhotse_form import from_cut, parse_line, to_cut
from talkover.manifests.schema import Session

QUICK = settings(max_examples=40, deadline=None)


@QUICK
@given(data=st.data())
def test_a_session_comes_back_from_its_cut(
    sessions: st.SearchStrategy[Session], data: st.DataObject
) -> None:
    session = data.draw(sessions)
    assert from_cut(to_cut(session)) == session
    assert from_cut(json.loads(session_line(session))) == session


def test_a_session_with_everything_comes_back(full_session: Session) -> None:
    assert from_cut(to_cut(full_session)) == full_session


def test_free_dictionaries_keep_their_nulls_and_have_sorted_keys(full_session: Session) -> None:
    ours = to_cut(full_session)["custom"]["talkover"]
    assert list(ours["provenance"]["configuration"].items()) == [
        ("a", {"y": "ü", "z": None}),
        ("b", [1, 2.5, None]),
    ]
    assert ours["channel"][0]["parameters"] == {"a": [1, {}], "z": None}


def test_a_text_that_is_not_known_is_left_out(full_session: Session) -> None:
    first = full_session.supervisions[0].model_copy(update={"text": None})
    session = full_session.model_copy(
        update={"supervisions": (first, *full_session.supervisions[1:])}
    )
    cut = to_cut(session)
    assert "text" not in cut["supervisions"][0] and "text" in cut["supervisions"][1]
    assert from_cut(cut) == session


@pytest.mark.parametrize("channels", [1, 2])
def test_lhotse_alone_opens_it_audio_included(
    tmp_path: Path, make_session: Callable[..., Session], channels: int
) -> None:
    from lhotse import CutSet

    spoken = [("ana", 1600, [("hello", 0, 4000), ("you", 4000, 2000)], True)]
    session = make_session(spoken, num_samples=16000, channels=channels)
    rng = np.random.default_rng(0)
    samples = rng.integers(-1000, 1000, (16000, channels), dtype=np.int16)
    (tmp_path / "audio").mkdir()
    sf.write(tmp_path / session.audio.path, samples, 16000, subtype="PCM_16")
    write_sessions(tmp_path / "cuts.jsonl", [session])

    cuts = CutSet.from_file(tmp_path / "cuts.jsonl").with_recording_path_prefix(tmp_path)
    (cut,) = list(cuts)
    assert type(cut).__name__ == ("MonoCut" if channels == 1 else "MultiCut")
    assert np.array_equal(cut.load_audio(), samples.T.astype(np.float32) / 32768)
    (supervision,) = cut.supervisions
    word = supervision.alignment["word"][1]
    assert (supervision.text, supervision.speaker) == ("hello you", "ana")
    assert (word.symbol, word.start, word.duration) == ("you", 0.35, 0.125)
    assert cut.custom["talkover"]["origin"] == "simulated"


def test_what_lhotse_saves_reads_as_the_same_session(tmp_path: Path, full_session: Session) -> None:
    from lhotse import CutSet

    write_sessions(tmp_path / "cuts.jsonl", [full_session])
    CutSet.from_file(tmp_path / "cuts.jsonl").to_file(tmp_path / "again.jsonl")
    assert list(read_sessions(tmp_path / "again.jsonl")) == [full_session]


def changed(cut: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    """A deep copy with one value changed; ``place`` as in ``a.0.b``."""
    result = copy = json.loads(json.dumps(cut))
    *path, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    for key in path:
        copy = copy[key]
    copy[last] = value
    return result


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ("id", "../evil", "id"),
        ("start", 1.0, "start"),
        ("duration", 9.5, "duration"),
        ("type", "MonoCut", "type"),
        ("channel", 0, "channel"),
        ("recording.id", "other", "recording.id"),
        ("recording.num_samples", 3, "recording.num_samples"),
        ("recording.sources.0.source", "/etc/passwd", "recording.sources[0].source"),
        ("recording.sources.0.source", "audio/b.wav", "recording.sources[0].source"),
        ("supervisions.0.recording_id", "other", "supervisions[0].recording_id"),
        ("supervisions.1.start", "0.5", "supervisions[1].start"),
        ("supervisions.0.custom.talkover.role", "guest", "supervisions[0].custom.talkover.role"),
        ("supervisions.0.custom.talkover.word_samples", [[1600, 4000]], "word_samples"),
        ("supervisions.0.alignment.word.0.1", float("nan"), "alignment.word[0][1]"),
        ("custom.talkover.surprise", 1, "custom.talkover.surprise"),
        ("custom.talkover.schema_version", "2.0", "custom.talkover.schema_version"),
        ("custom.talkover.audio.path", "a/../../b.wav", "custom.talkover.audio.path"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    full_session: Session, place: str, value: object, field: str
) -> None:
    cut = changed(to_cut(full_session), place, value)
    with pytest.raises(ManifestError) as caught:
        from_cut(cut, path="cuts.jsonl", line=3)
    assert str(caught.value).startswith("cuts.jsonl:3: ")
    assert caught.value.field is not None and caught.value.field.endswith(field)


def test_all_faults_of_a_line_are_found_not_the_first_only(full_session: Session) -> None:
    cut = changed(changed(to_cut(full_session), "start", 1.0), "supervisions.0.id", "a/b")
    problems = parse_line(json.dumps(cut)).problems
    assert {problem.field for problem in problems} == {"start", "supervisions[0].id"}


def test_unknown_fields_of_a_newer_minor_version_are_passed_over(full_session: Session) -> None:
    cut = changed(to_cut(full_session), "custom.talkover.schema_version", "1.7")
    cut = changed(cut, "custom.talkover.surprise", {"new": 1})
    cut = changed(cut, "supervisions.0.custom.talkover.mood", "glad")
    expected = full_session.model_copy(update={"schema_version": "1.7"})
    assert from_cut(cut) == expected


def test_values_that_are_no_json_are_refused(full_session: Session) -> None:
    with pytest.raises(ManifestError, match="plain JSON"):
        from_cut({**to_cut(full_session), "custom": {"talkover": Path("x")}})


@pytest.mark.parametrize("line", ["[]", "3", '"cut"', "null", "true", '[{"id": "a"}]'])
def test_json_that_is_no_object_is_said_to_be_none(line: str) -> None:
    parsed = parse_line(line)
    assert parsed.session is None
    assert "must be a JSON object" in parsed.problems[0].reason
