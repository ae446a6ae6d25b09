"""Formats that trainers read: Kaldi, NeMo, conversation JSONL, TagSpeech's cuts, Parquet."""

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
from talkover.manifests.schema import Session

RATE = 16000


@pytest.fixture
def talk(tmp_path: Path) -> Conversation:
    """Two who overlap, then one alone, with audio."""
    path = tmp_path / "wavs" / "talk.wav"
    path.parent.mkdir()
    sf.write(path, np.zeros(5 * RATE, np.int16), RATE)
    words = (SpokenWord(symbol="so", start=0.5, end=1.0, score=0.5),)
    return make_conversation(
        "talk",
        [
            Utterance(speaker="bo", start=0.5, end=1.5, text="so", words=words, gender="m"),
            Utterance(speaker="ana", start=1.0, end=2.0, text="yes no", language="en", gender="F"),
            Utterance(speaker="ana", start=3.0, end=4.0, text=""),
        ],
        recording=Recording(path=path, sampling_rate=RATE, num_samples=5 * RATE, num_channels=1),
    )


def write(name: str, path: Path, conversation: Conversation) -> None:
    one = converter(name)
    left = without(conversation, one.losses)
    assert left is not None
    folder = path if one.is_folder else path.parent
    one.write(path, [left], WriteOptions(folder=folder))


def test_a_kaldi_directory_is_sorted_and_complete(tmp_path: Path, talk: Conversation) -> None:
    write("kaldi", tmp_path / "data", talk)
    read = {p.name: p.read_text(encoding="utf8") for p in (tmp_path / "data").iterdir()}
    assert read == {
        "wav.scp": "talk ../wavs/talk.wav\n",
        "reco2dur": "talk 5.00000\n",
        "segments": (
            "ana-talk-00001 talk 1.00000 2.00000\n"
            "ana-talk-00002 talk 3.00000 4.00000\n"
            "bo-talk-00000 talk 0.50000 1.50000\n"
        ),
        "utt2spk": "ana-talk-00001 ana\nana-talk-00002 ana\nbo-talk-00000 bo\n",
        "spk2utt": "ana ana-talk-00001 ana-talk-00002\nbo bo-talk-00000\n",
        "text": "ana-talk-00001 yes no\nana-talk-00002\nbo-talk-00000 so\n",
        "utt2lang": "ana-talk-00001 en\nana-talk-00002 und\nbo-talk-00000 und\n",
        "spk2gender": "ana f\nbo m\n",
    }


@pytest.mark.medium
def test_lhotse_opens_our_kaldi_directories(tmp_path: Path, talk: Conversation) -> None:
    from lhotse.kaldi import load_kaldi_data_dir

    one = converter("kaldi")
    left = without(talk, one.losses)
    assert left is not None
    options = WriteOptions(folder=tmp_path / "data", absolute_paths=True)
    one.write(tmp_path / "data", [left], options)
    recordings, supervisions, _ = load_kaldi_data_dir(tmp_path / "data", sampling_rate=RATE)
    assert [r.id for r in recordings] == ["talk"]
    assert supervisions is not None
    assert sorted((s.speaker, s.start, s.end) for s in supervisions) == [
        ("ana", 1.0, 2.0), ("ana", 3.0, 4.0), ("bo", 0.5, 1.5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("wav.scp", "x sox a.wav -t wav - |\n", r"wav.scp: x: a command, which is never run"),
        ("wav.scp", "talk again.wav\n", r"wav.scp:2: a second line for 'talk'"),
        ("segments", "u gone 0 1\n", r"segments:4: recording: 'gone' is not in wav.scp"),
        ("segments", "u talk 0 1\n", r"segments:4: utterance: 'u' is not in utt2spk"),
        ("segments", "u talk 0\n", r"segments:4: must be: utterance recording start end"),
        ("segments", "u talk x 1\n", r"segments:4: start: must be a time"),
    ],
)
def test_faults_of_a_kaldi_directory_are_named(
    tmp_path: Path, talk: Conversation, file: str, line: str, message: str
) -> None:
    write("kaldi", tmp_path / "data", talk)
    with (tmp_path / "data" / file).open("a") as handle:
        handle.write(line)
    with pytest.raises(ManifestError, match=message):
        list(converter("kaldi").read(tmp_path / "data", Faults()))
    (tmp_path / "data" / "utt2spk").unlink()
    with pytest.raises(ManifestError, match="no utt2spk"):
        list(converter("kaldi").read(tmp_path / "data", Faults()))


def test_a_nemo_manifest_serves_recognisers_and_diarizers(
    tmp_path: Path, talk: Conversation
) -> None:
    write("nemo", tmp_path / "train_manifest.json", talk)
    lines = (tmp_path / "train_manifest.json").read_text(encoding="utf8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows[0] == {
        "audio_filepath": "wavs/talk.wav",
        "offset": 0.5,
        "duration": 1.0,
        "text": "so",
        "speaker": "bo",
        "rttm_filepath": "train_manifest_rttm/talk.rttm",
        "num_speakers": 2,
        "session_id": "talk",
        "gender": "m",
    }
    rttm = (tmp_path / rows[0]["rttm_filepath"]).read_text().splitlines()
    assert rttm[0] == "SPEAKER talk 1 0.50000 1.00000 <NA> <NA> bo <NA> <NA>"
    assert len(rttm) == len(rows) == 3


def test_a_diarizers_manifest_takes_its_turns_from_the_rttm(
    tmp_path: Path, talk: Conversation
) -> None:
    write("nemo", tmp_path / "a_manifest.json", talk)
    row = {
        "audio_filepath": "wavs/talk.wav",
        "offset": 0,
        "duration": None,
        "label": "infer",
        "text": "-",
        "num_speakers": 2,
        "rttm_filepath": "a_manifest_rttm/talk.rttm",
        "uem_filepath": None,
    }
    path = tmp_path / "d_manifest.json"
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"rttm_filepath": None}) + "\n")
    with pytest.raises(ManifestError, match=r"d_manifest.json:2: duration: must be a number"):
        list(converter("nemo").read(path, Faults()))
    (got,) = converter("nemo").read(path, Faults(skip=True))
    assert [(u.speaker, u.start, u.end, u.text) for u in got.utterances] == [
        ("bo", 0.5, 1.5, None), ("ana", 1.0, 2.0, None), ("ana", 3.0, 4.0, None),
    ]  # fmt: skip


def test_conversation_jsonl_has_the_shape_that_moss_trains_on(
    tmp_path: Path, talk: Conversation
) -> None:
    write("moss", tmp_path / "t.moss.jsonl", talk)
    (line,) = (tmp_path / "t.moss.jsonl").read_text(encoding="utf8").splitlines()
    row = json.loads(line)
    assert list(row) == ["conversation"]
    request, audio, answer = row["conversation"]
    assert (request["role"], request["message_type"]) == ("user", "text")
    assert "[start][speaker]text[end]" in request["content"]
    assert audio == {"role": "user", "message_type": "audio", "content": "wavs/talk.wav"}
    assert answer == {
        "role": "assistant",
        "message_type": "text",
        "content": "[0.50][S01]so[1.50][1.00][S02]yes no[2.00][3.00][S02][4.00]",
    }


def test_the_example_of_moss_reads(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "message_type": "text", "content": "Please transcribe."},
        {"role": "user", "message_type": "audio", "content": "a/b c.wav"},
        {"role": "assistant", "message_type": "text", "content": "[0.00][S01]Welcome[0.72]"},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"conversation": messages}) + "\n")
    (got,) = converter("moss").read(path, Faults())
    assert got.id == "b c"
    assert got.recording is not None and got.recording.path == tmp_path / "a/b c.wav"
    assert got.utterances == (Utterance(speaker="S01", start=0.0, end=0.72, text="Welcome"),)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "a.jsonl:1: not JSON"),
        ('{"conversation": 1}', "a.jsonl:1: conversation: must be a list of messages"),
        ('{"conversation": []}', "must have one audio message of the user .* has 0"),
        ("[0.5][S01]cut off", "truncated at character"),
        ("[S01]no start[1.0]", "missing start at character 0"),
        ("[2.00][S01]x[1.00]", "end before start"),
    ],
)
def test_broken_conversations_are_named(tmp_path: Path, row: str, message: str) -> None:
    if row.startswith("["):
        messages = [
            {"role": "user", "message_type": "audio", "content": "a.wav"},
            {"role": "assistant", "message_type": "text", "content": row},
        ]
        row = json.dumps({"conversation": messages})
    (tmp_path / "a.jsonl").write_text(row + "\n")
    with pytest.raises(ManifestError, match=message):
        list(converter("moss").read(tmp_path / "a.jsonl", Faults()))


def test_tagspeech_gets_a_cut_for_each_group_of_turns(tmp_path: Path, talk: Conversation) -> None:
    write("tagspeech", tmp_path / "t.jsonl", talk)
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [(r["id"], r["type"], r["start"], r["duration"], r["channel"]) for r in rows] == [
        ("talk-00000", "MonoCut", 0.5, 1.5, 0),
        ("talk-00001", "MonoCut", 3.0, 1.0, 0),
    ]
    bo, ana = rows[0]["supervisions"]
    assert bo == {
        "id": "talk-00000",
        "recording_id": "talk",
        "start": 0.0,
        "duration": 1.0,
        "channel": [0],
        "text": "so",
        "speaker": "bo",
        "gender": "M",
        "alignment": {"word": [["so", 0.5, 0.5, 0.5]]},  # on the recording's clock
    }
    assert (ana["start"], ana["gender"], ana["language"]) == (0.5, "F", "en")
    assert rows[0]["recording"]["sources"][0]["source"] == "wavs/talk.wav"


@pytest.mark.medium
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_groups_are_those_of_lhotse(
    data: st.DataObject,
    sessions: st.SearchStrategy[Session],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from lhotse import CutSet

    from talkover.manifests.convert import of_session
    from talkover.manifests.io import write_sessions

    session, folder = data.draw(sessions), tmp_path_factory.mktemp("groups")
    write_sessions(folder / "cuts.jsonl", [session])
    write("tagspeech", folder / "t.jsonl", of_session(session, folder))
    (cut,) = CutSet.from_file(folder / "cuts.jsonl")
    theirs = [
        (round(c.start, 5), round(c.duration, 5), sorted(s.id for s in c.supervisions))
        for c in cut.trim_to_supervision_groups(max_pause=0.0)
    ]
    ours = [
        (round(c.start, 5), round(c.duration, 5), sorted(s.id for s in c.supervisions))
        for c in CutSet.from_file(folder / "t.jsonl")
    ]
    assert ours == theirs


def test_a_turn_without_text_takes_its_group_along(tmp_path: Path, talk: Conversation) -> None:
    silent = replace(talk.utterances[0], text=None)
    changed = replace(talk, utterances=(silent, *talk.utterances[1:]))
    write("tagspeech", tmp_path / "t.jsonl", changed)
    (row,) = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert row["start"] == 3.0


@pytest.mark.medium
def test_parquet_opens_with_pandas_and_datasets(produced: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is in the extra `audit`")
    datasets = pytest.importorskip("datasets", reason="datasets is in the extra `audit`")
    for name in ("a", "b"):
        convert(produced, tmp_path / f"{name}.parquet")
        convert(produced, tmp_path / name, to="datasets")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["data-00000-of-00001.arrow", "dataset_info.json", "state.json"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (row,) = pandas.read_parquet(tmp_path / "a.parquet").to_dict("records")
    assert (row["id"], row["duration"], row["num_channels"]) == ("session-1", 10.0, 2)
    assert [u["speaker"] for u in row["utterances"]] == ["ana", "bo", "ana"]
    assert row["utterances"][0]["words"][0]["symbol"] == "aa"
    (theirs,) = datasets.load_from_disk(str(tmp_path / "a"))
    assert (
        theirs["utterances"][1]["regions"] is None or len(theirs["utterances"][1]["regions"]) == 2
    )
    loaded = datasets.Dataset.from_parquet(
        str(tmp_path / "a.parquet"), cache_dir=str(tmp_path / "cache")
    )
    assert loaded.column_names == theirs.keys() or set(loaded.column_names) == set(theirs)


@pytest.mark.medium
def test_a_parquet_file_of_others_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is in the extra `audit`")
    pandas.DataFrame({"id": ["a"], "text": ["b"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ManifestError, match=r"a.parquet: lacks the columns audio, .*has id, text"):
        convert(tmp_path / "a.parquet", tmp_path / "a.rttm")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ManifestError, match="cannot be read as Parquet"):
        convert(tmp_path / "b.parquet", tmp_path / "a.rttm")
