"""Lhotse: ours byte for byte, others' made to fit the contract, windows and mixes with audio."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkover.manifests.convert import (
    Conversation,
    Faults,
    Recording,
    SpokenWord,
    Utterance,
    WriteOptions,
    convert,
    converter,
    make_conversation,
    without,
)
from talkover.manifests.errors import ManifestError
from talkover.manifests.io import read_sessions
from talkover.manifests.validate import validate

RATE = 16000


def write_wav(path: Path, num_samples: int, channels: int = 1) -> np.ndarray:
    """A few steps of noise a channel, exact in 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = np.random.default_rng(num_samples).integers(-300, 300, (num_samples, channels))
    sf.write(path, steps.astype(np.int16), RATE, subtype="PCM_16")
    return steps.T.astype(np.float32) / 2**15


def comparable(c: Conversation | None) -> list[tuple[object, ...]]:
    """What the contract keeps of others' labels."""
    assert c is not None
    return [
        (u.speaker, u.start, u.end, u.text, u.words, u.speech, u.language, u.gender)
        for u in c.utterances
    ]


@pytest.mark.medium
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_labels_of_anybody_become_sessions_without_a_violation(
    data: st.DataObject,
    conversations: st.SearchStrategy[Conversation],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("contract")
    drawn = data.draw(conversations)
    assert drawn.recording is not None and drawn.recording.num_samples is not None
    total = max(1, drawn.recording.num_samples - data.draw(st.sampled_from([0, 0, 100, 9000])))
    path = folder / "recordings" / "far away" / "meeting 1.wav"
    write_wav(path, total)
    recording = Recording(path=path, sampling_rate=RATE, num_samples=total, num_channels=1)
    one = converter("lhotse")
    left = without(replace(drawn, recording=recording), one.losses)
    assert left is not None
    out = folder / "out"
    one.write(out, [left], WriteOptions(folder=out))
    assert [v.text() for v in validate(out)] == []
    (got,) = one.read(out, Faults())
    assert comparable(got) == comparable(left)
    assert without(got, one.losses) == got  # ours is left alone


def test_a_folder_of_ours_is_written_back_byte_for_byte(produced: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    done = convert(produced / "cuts.jsonl", out)
    assert done.lost == ()
    assert (out / "cuts.jsonl").read_bytes() == (produced / "cuts.jsonl").read_bytes()
    assert [v.text() for v in validate(out)] == []  # with its stems and registration clips


@pytest.mark.medium
def test_ours_goes_through_parquet_and_datasets_unchanged(produced: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="datasets is in the extra `audit`")
    convert(produced, tmp_path / "p.parquet")
    convert(tmp_path / "p.parquet", tmp_path / "hf", to="datasets")
    convert(tmp_path / "hf", tmp_path / "back")
    assert (tmp_path / "back/cuts.jsonl").read_bytes() == (produced / "cuts.jsonl").read_bytes()


def cut_of(recording: dict, **fields: object) -> dict:
    return {
        "id": "c",
        "start": 0.0,
        "duration": recording["duration"],
        "channel": 0,
        "supervisions": [],
        "recording": recording,
        "type": "MonoCut",
        **fields,
    }


def recording_row(path: Path, num_samples: int, channels: int = 1) -> dict:
    return {
        "id": "r",
        "sources": [{"type": "file", "channels": list(range(channels)), "source": path.name}],
        "sampling_rate": RATE,
        "num_samples": num_samples,
        "duration": num_samples / RATE,
        "channel_ids": list(range(channels)),
    }


def written(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    return path


def test_a_window_of_one_channel_is_cut_out_with_its_words(tmp_path: Path) -> None:
    samples = write_wav(tmp_path / "r.wav", 5 * RATE, channels=2)
    said = {
        "id": "s",
        "recording_id": "r",
        "start": 0.5,
        "duration": 1.0,
        "speaker": "ana",
        "text": "so",
        "alignment": {"word": [["so", 1.75, 0.5, None]]},  # on the recording's clock
    }
    cut = cut_of(
        recording_row(tmp_path / "r.wav", 5 * RATE, 2),
        start=1.0, duration=2.0, channel=1, supervisions=[said],
    )  # fmt: skip
    convert(written(tmp_path / "c.jsonl", cut), tmp_path / "out")
    assert list(validate(tmp_path / "out")) == []
    (session,) = read_sessions(tmp_path / "out")
    got, _ = sf.read(tmp_path / "out" / session.audio.path, dtype="float32")
    assert np.array_equal(got, samples[1, RATE : 3 * RATE])
    (row,) = session.supervisions
    assert row.words is not None and row.words[0].start == 0.75
    assert (row.start, row.text, session.origin) == (0.5, "so", "converted")


def test_an_array_keeps_its_channels(tmp_path: Path) -> None:
    samples = write_wav(tmp_path / "r.wav", RATE, channels=4)
    row = recording_row(tmp_path / "r.wav", RATE, 4)
    cut = cut_of(row, channel=[0, 1, 2, 3], type="MultiCut")
    some = cut_of(row, id="d", channel=[3, 1], type="MultiCut")
    convert(written(tmp_path / "c.jsonl", cut, some), tmp_path / "out")
    assert list(validate(tmp_path / "out")) == []
    whole, part = read_sessions(tmp_path / "out")
    assert (whole.audio.num_channels, part.audio.num_channels) == (4, 2)
    got, _ = sf.read(tmp_path / "out" / part.audio.path, dtype="float32")
    assert np.array_equal(got.T, samples[[3, 1]])


@pytest.mark.medium
def test_a_mix_is_made_as_lhotse_makes_it(tmp_path: Path) -> None:
    from lhotse import CutSet, Recording, SupervisionSegment

    for name in ("a", "b"):
        write_wav(tmp_path / f"{name}.wav", 2 * RATE)
    cuts = []
    for name in ("a", "b"):
        cut = Recording.from_file(tmp_path / f"{name}.wav").to_cut()
        said = SupervisionSegment(f"s{name}", name, 0.25, 1.0, text="so", speaker=name)
        cuts.append(cut.drop_supervisions())
        cuts[-1].supervisions = [said]
    mixed = cuts[0].mix(cuts[1], offset_other_by=0.5, snr=3.0).with_id("mix")
    CutSet.from_cuts([mixed]).to_file(tmp_path / "m.jsonl")
    convert(tmp_path / "m.jsonl", tmp_path / "out")
    assert list(validate(tmp_path / "out")) == []
    (session,) = read_sessions(tmp_path / "out")
    got, _ = sf.read(tmp_path / "out" / session.audio.path, dtype="float32")
    assert np.array_equal(got, mixed.load_audio()[0])
    assert [(r.speaker, r.start) for r in session.supervisions] == [("a", 0.25), ("b", 0.75)]


@pytest.mark.medium
def test_lhotse_opens_what_we_write_as_recordings_and_supervisions(
    produced: Path, tmp_path: Path
) -> None:
    from lhotse import CutSet, RecordingSet, SupervisionSet

    convert(produced, tmp_path / "pair", to="lhotse-pair", allow_loss=True)
    recordings = RecordingSet.from_file(tmp_path / "pair" / "recordings.jsonl")
    supervisions = SupervisionSet.from_file(tmp_path / "pair" / "supervisions.jsonl")
    (cut,) = CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    (session,) = read_sessions(produced)
    assert [(s.id, s.start, s.speaker, s.text) for s in cut.supervisions] == [
        (r.id, r.start, r.speaker, r.text) for r in session.supervisions
    ]
    words = cut.supervisions[0].alignment["word"]
    assert [w.symbol for w in words] == ["aa", "bb"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "PaddingCut"}, r"c.jsonl:1: type: must be MonoCut"),
        ({"id": None}, r"c.jsonl:1: id: must be text"),
        ({"duration": 9.0}, r"c.jsonl:1: duration: the cut is from 0 s for 9 s.* has 1 s"),
        ({"channel": []}, r"c.jsonl:1: channel: must be numbers"),
        ({"channel": 3}, r"the cut is of channel 3, the file has 1"),
        ({"recording": 3}, r"c.jsonl:1: recording: must be an object"),
        ({"supervisions": [{"start": "x"}]}, r"c.jsonl:1: supervisions\[0\].start: must be a time"),
    ],
)
def test_what_is_wrong_with_a_cut_is_named(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    write_wav(tmp_path / "r.wav", RATE)
    row = cut_of(recording_row(tmp_path / "r.wav", RATE)) | change
    with pytest.raises(ManifestError, match=message):
        convert(written(tmp_path / "c.jsonl", row), tmp_path / "out")


def test_a_source_that_is_no_file_is_refused(tmp_path: Path) -> None:
    row = recording_row(tmp_path / "r.wav", RATE)
    row["sources"][0]["type"] = "command"
    with pytest.raises(ManifestError, match=r"sources\[0\]\.type: must be a file.*'command'"):
        convert(written(tmp_path / "c.jsonl", cut_of(row)), tmp_path / "out")


def test_turns_are_split_at_pauses_and_keep_their_text_and_turn(tmp_path: Path) -> None:
    write_wav(tmp_path / "talk.wav", 4 * RATE)
    words = tuple(
        SpokenWord(symbol=s, start=a, end=b)
        for s, a, b in (("So", 0.5, 0.75), ("yes", 1.0, 1.25), ("no", 1.5, 1.75))
    )
    turn = Utterance(speaker="ana", start=0.25, end=2.0, text="So, yes! No.", words=words)
    recording = Recording(
        path=tmp_path / "talk.wav", sampling_rate=RATE, num_samples=4 * RATE, num_channels=1
    )
    one = converter("lhotse")
    left = without(make_conversation("talk", [turn], recording=recording), one.losses)
    assert left is not None
    one.write(tmp_path / "out", [left], WriteOptions(folder=tmp_path / "out"))
    (session,) = read_sessions(tmp_path / "out")
    assert [(r.text, r.start, r.end) for r in session.supervisions] == [
        ("So,", 0.25, 0.75), ("yes!", 1.0, 1.25), ("No.", 1.5, 2.0),
    ]  # fmt: skip
    assert len({r.turn_id for r in session.supervisions}) == 1
