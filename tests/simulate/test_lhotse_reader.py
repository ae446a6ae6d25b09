"""Lhotse manifests, written by Lhotse itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from lhotse import CutSet, Recording, RecordingSet, SupervisionSegment, SupervisionSet
from lhotse.audio import AudioSource
from lhotse.supervision import AlignmentItem

from talkover.manifests.errors import ManifestError
from talkover.simulate.corpus import Rejection, Utterance, open_corpus

RATE = 16000


def recording(folder: Path, seconds: float = 10.0, channels: int = 1) -> Recording:
    path = folder / f"rec{channels}.wav"
    sf.write(path, np.zeros((int(seconds * RATE), channels), np.float32), RATE)
    return Recording.from_file(path)


def supervision(name: str = "u1", start: float = 2.0, **more: object) -> SupervisionSegment:
    values = {
        "id": name,
        "recording_id": "rec1",
        "start": start,
        "duration": 1.0,
        "speaker": "ana",
        "text": "one two",
        "language": "en",
        "gender": "F",
        "alignment": {
            "word": [
                AlignmentItem("one", start + 0.1, 0.2, 0.9),
                AlignmentItem("two", start + 0.5, 0.25),
            ]
        },
    }
    return SupervisionSegment(**{**values, **more})  # type: ignore[arg-type]


WORDS = (("one", 0.1, 0.2), ("two", 0.5, 0.25))


def write_pair(folder: Path, *supervisions: SupervisionSegment, channels: int = 1) -> None:
    RecordingSet.from_recordings([recording(folder, channels=channels)]).to_file(
        folder / "recordings.jsonl"
    )
    SupervisionSet.from_segments(supervisions).to_file(folder / "supervisions.jsonl")


def only(path: Path, **options: object) -> Utterance | Rejection:
    (item,) = open_corpus(path, **options)  # type: ignore[arg-type]
    return item


def test_recordings_and_supervisions(tmp_path: Path) -> None:
    write_pair(tmp_path, supervision(custom={"licence": "MIT", "book": 7}))
    for path in (tmp_path, tmp_path / "recordings.jsonl", tmp_path / "supervisions.jsonl"):
        found = only(path, name="x")
        assert isinstance(found, Utterance)
        assert found == Utterance(
            utterance_id="u1",
            speaker="ana",
            path=tmp_path / "rec1.wav",
            file=str(tmp_path / "rec1.wav"),
            corpus="x",
            recording_id="rec1",
            start=2.0,
            duration=1.0,
            sampling_rate=RATE,
            text="one two",
            words=WORDS,
            word_source="alignment",
            language="en",
            gender="female",
            topic="7",
            licence="MIT",
        )


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_words_of_a_cut_are_on_the_recordings_clock(tmp_path: Path, suffix: str) -> None:
    whole = recording(tmp_path).to_cut()
    whole.supervisions = [supervision()]
    cut = whole.truncate(offset=1.5, duration=4.0)  # moves supervisions and leaves words
    assert cut.supervisions[0].start == 0.5
    CutSet.from_cuts([cut]).to_file(tmp_path / f"cuts.{suffix}")
    found = only(tmp_path)
    assert isinstance(found, Utterance)
    assert (found.start, found.duration, found.words) == (2.0, 1.0, WORDS)


def test_words_on_another_clock_are_rejected(tmp_path: Path) -> None:
    words = {"word": [AlignmentItem("one", 0.1, 0.2)]}
    write_pair(tmp_path, supervision(alignment=words))
    found = only(tmp_path)
    assert isinstance(found, Rejection)
    assert found.field == "alignment.word"


def test_a_mixed_cut_is_rejected(tmp_path: Path) -> None:
    cut = recording(tmp_path).to_cut()
    cut.supervisions = [supervision()]
    CutSet.from_cuts([cut.mix(cut.with_id("other"), offset_other_by=1.0)]).to_file(
        tmp_path / "cuts.jsonl"
    )
    found = only(tmp_path)
    assert isinstance(found, Rejection)
    assert (found.field, found.value) == ("type", "MixedCut")


def test_a_supervision_that_leaves_its_cut_is_rejected(tmp_path: Path) -> None:
    cut = recording(tmp_path).to_cut()
    cut.supervisions = [supervision()]
    CutSet.from_cuts([cut.truncate(duration=2.5)]).to_file(tmp_path / "cuts.jsonl")
    found = only(tmp_path)
    assert isinstance(found, Rejection)
    assert found.reason == "the supervision is longer than its cut"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"speaker": None}, "speaker"),
        ({"recording_id": "nowhere"}, "recording_id"),
        ({"duration": None}, "duration"),
    ],
)
def test_a_bad_supervision_is_rejected_and_the_rest_goes_on(
    tmp_path: Path, changes: dict[str, object], field: str
) -> None:
    write_pair(tmp_path, supervision("bad", **changes), supervision("good"))
    with (tmp_path / "supervisions.jsonl").open("a") as file:
        file.write('{"id": "torn", "rec')
    bad, good, torn = open_corpus(tmp_path)
    assert isinstance(bad, Rejection) and isinstance(good, Utterance)
    assert (bad.field, bad.place, bad.utterance_id) == (field, "supervisions.jsonl:1", "bad")
    assert isinstance(torn, Rejection)
    assert torn.place == "supervisions.jsonl:3"


@pytest.mark.parametrize(
    ("own", "asked", "expected"),
    [(0, "mean", 0), (1, "mean", 1), ([0, 1], "mean", "mean"), ([0, 1], 1, 1), ([1], "mean", 1)],
)
def test_one_channel_of_a_supervision_wins(
    tmp_path: Path, own: int | list[int], asked: int | str, expected: int | str
) -> None:
    write_pair(tmp_path, supervision(recording_id="rec2", channel=own), channels=2)
    found = only(tmp_path, channel=asked)
    assert isinstance(found, Utterance)
    assert found.channel == expected


def test_sources_that_are_no_files_are_rejected(tmp_path: Path) -> None:
    command = Recording(
        id="rec1",
        sources=[AudioSource(type="command", channels=[0], source="touch /tmp/never")],
        sampling_rate=RATE,
        num_samples=RATE,
        duration=1.0,
    )
    RecordingSet.from_recordings([command]).to_file(tmp_path / "recordings.jsonl")
    SupervisionSet.from_segments([supervision()]).to_file(tmp_path / "supervisions.jsonl")
    found = only(tmp_path)
    assert isinstance(found, Rejection)
    assert (found.field, found.value) == ("sources", "command")


def test_a_perturbed_recording_is_rejected(tmp_path: Path) -> None:
    changed = recording(tmp_path).perturb_speed(1.1, affix_id=False)
    RecordingSet.from_recordings([changed]).to_file(tmp_path / "recordings.jsonl")
    SupervisionSet.from_segments([supervision()]).to_file(tmp_path / "supervisions.jsonl")
    found = only(tmp_path)
    assert isinstance(found, Rejection)
    assert found.field == "transforms"


def test_manifests_without_their_partner_or_of_another_kind_are_errors(tmp_path: Path) -> None:
    RecordingSet.from_recordings([recording(tmp_path)]).to_file(tmp_path / "recordings.jsonl")
    with pytest.raises(ManifestError, match=r"expected supervisions\.jsonl"):
        open_corpus(tmp_path)
    (tmp_path / "other.jsonl").write_text(json.dumps({"a": 1}) + "\n")
    with pytest.raises(ManifestError, match="neither a recording"):
        open_corpus(tmp_path / "other.jsonl")
    (tmp_path / "torn.jsonl.gz").write_bytes(b"\x1f\x8b no")
    with pytest.raises(ManifestError, match="cannot be read"):
        open_corpus(tmp_path / "torn.jsonl.gz")
