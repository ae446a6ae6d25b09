"""Corpora are opened by name, checked, and what is wrong is said with its place."""

from __future__ import annotations

import csv
import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.simulate import corpus as corpus_module
from talkover.simulate.corpus import (
    DUPLICATE_ID,
    UNSAFE_ID,
    CorpusOptions,
    Rejection,
    Utterance,
    open_corpora,
    open_corpus,
)


def write_csv(path: Path, *rows: dict[str, object]) -> Path:
    with path.open("w", encoding="utf8", newline="") as file:
        writer = csv.DictWriter(
            file, fieldnames=list(dict.fromkeys(k for row in rows for k in row))
        )
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(name: str = "u1", **more: object) -> dict[str, object]:
    return {"utterance_id": name, "speaker": "ana", "text": "hi", "file": "a.wav", **more}


def only(items: list[Utterance | Rejection]) -> Utterance | Rejection:
    assert len(items) == 1
    return items[0]


def test_the_second_of_two_equal_ids_is_rejected_over_all_corpora(tmp_path: Path) -> None:
    first = write_csv(tmp_path / "a.csv", row("u1"), row("u2"))
    second = write_csv(tmp_path / "b.csv", row("u2", file="other.wav"), row("u3"))
    items = list(open_corpora([str(first), second]))
    assert [i.utterance_id for i in items if isinstance(i, Utterance)] == ["u1", "u2", "u3"]
    rejected = only([i for i in items if isinstance(i, Rejection)])
    assert isinstance(rejected, Rejection)
    assert (rejected.utterance_id, rejected.corpus) == ("u2", "b")
    assert (rejected.field, rejected.reason) == ("utterance_id", DUPLICATE_ID)


@pytest.mark.parametrize("bad", ["a/b", "../a", "..", ".a", "a b", "é", "a\\b", "x" * 201])
@pytest.mark.parametrize("field", ["utterance_id", "speaker"])
def test_ids_that_are_no_file_names_are_rejected_with_the_rule(
    tmp_path: Path, bad: str, field: str
) -> None:
    item = only(list(open_corpus(write_csv(tmp_path / "m.csv", row(**{field: bad})))))
    assert isinstance(item, Rejection)
    assert (item.field, item.value, item.reason) == (field, bad, UNSAFE_ID)


@pytest.mark.parametrize(
    ("field", "value"),
    [("start", -0.5), ("start", "nan"), ("duration", 0), ("num_samples", 0), ("start_sample", -1)],
)
def test_impossible_times_are_rejected(tmp_path: Path, field: str, value: object) -> None:
    item = only(list(open_corpus(write_csv(tmp_path / "m.csv", row(**{field: value})))))
    assert isinstance(item, Rejection)
    assert item.field == field


@pytest.mark.parametrize(
    "words",
    [
        [["a", 0.5, 0.1], ["b", 0.2, 0.1]],
        [["a", -0.1, 0.1]],
        [["a", 0.1, 0.0]],
        [[" ", 0.1, 0.2]],
        [["a", float("nan"), 0.2]],
    ],
)
def test_impossible_words_are_rejected(tmp_path: Path, words: list[list[object]]) -> None:
    manifest = write_csv(tmp_path / "m.csv", row(words=json.dumps(words)))
    item = only(list(open_corpus(manifest)))
    assert isinstance(item, Rejection)
    assert item.field == "words"


def test_a_corpus_that_is_not_there_is_named() -> None:
    with pytest.raises(ManifestError, match=r"nowhere\.csv: no such file"):
        open_corpus("nowhere.csv")
    with pytest.raises(ManifestError, match="did you mean 'embedded'"):
        open_corpus("embeded")
    with pytest.raises(ManifestError, match="no such file"):
        open_corpus("kaldi:nowhere")
    with pytest.raises(ConfigurationError, match="no corpus given"):
        open_corpora([])


def test_a_format_can_be_named(tmp_path: Path) -> None:
    manifest = write_csv(tmp_path / "list.txt", row())
    with pytest.raises(ManifestError, match="not a corpus"):
        open_corpus(manifest)
    assert isinstance(only(list(open_corpus(manifest, format="csv"))), Utterance)
    assert isinstance(only(list(open_corpora([f"csv:{manifest}"]))), Utterance)
    with pytest.raises(ConfigurationError, match="choose one of csv, kaldi, lhotse, tree"):
        open_corpus(manifest, format="xml")


def test_other_packages_can_offer_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OneLine:
        def __init__(self, path: Path, options: CorpusOptions) -> None:
            self.path, self.options = path, options

        def __iter__(self):  # type: ignore[no-untyped-def]
            yield Utterance(
                utterance_id="only",
                speaker="ana",
                path=self.path,
                file=self.path.name,
                corpus=self.options.name,
                recording_id="r",
            )

    offered = EntryPoint("oneline", f"{__name__}:reader", corpus_module.ENTRY_POINTS)
    monkeypatch.setattr(EntryPoint, "load", lambda self: OneLine)
    monkeypatch.setattr(corpus_module, "entry_points", lambda group: [offered])
    (tmp_path / "x.one").write_text("")
    item = only(list(open_corpus(tmp_path / "x.one", format="oneline", name="mine")))
    assert isinstance(item, Utterance)
    assert item.corpus == "mine"


def test_every_built_in_reader_can_be_loaded() -> None:
    assert len(corpus_module.READERS) == 4
    for name, entry in corpus_module.READERS.items():
        assert hasattr(entry.load(), "__iter__"), name


def test_opening_a_corpus_opens_no_audio(tmp_path: Path) -> None:
    assert isinstance(only(list(open_corpus(write_csv(tmp_path / "m.csv", row())))), Utterance)


def test_the_licence_and_channel_given_are_those_of_rows_that_name_none(tmp_path: Path) -> None:
    manifest = write_csv(
        tmp_path / "m.csv", row("u1", licence="MIT", channel=1), row("u2", licence="", channel="")
    )
    first, second = open_corpora([manifest], licence="CC0-1.0", channel=2)
    assert isinstance(first, Utterance) and isinstance(second, Utterance)
    assert (first.licence, first.channel) == ("MIT", 1)
    assert (second.licence, second.channel) == ("CC0-1.0", 2)


texts = st.none() | st.text(max_size=12)


@settings(deadline=None)
@given(
    fields=st.fixed_dictionaries(
        dict.fromkeys(("utterance_id", "file", "place", "field", "value"), texts)
    ),
    reason=st.text(max_size=20),
)
def test_a_rejection_survives_its_line(fields: dict[str, str | None], reason: str) -> None:
    rejection = Rejection(corpus="c", reason=reason, **fields)  # type: ignore[arg-type]
    line = rejection.line()
    assert "\n" not in line
    assert Rejection.parse(line) == rejection


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are UTF-8 there")
def test_a_file_name_that_is_no_utf8_is_rejected_and_written_down(tmp_path: Path) -> None:
    folder = tmp_path / "ana"
    folder.mkdir()
    Path(folder, b"ana-\xff.wav".decode("utf8", "surrogateescape")).write_bytes(b"")
    item = only(list(open_corpus(tmp_path)))
    assert isinstance(item, Rejection)
    assert item.line().encode("utf8")


# One random corpus, written in four ways.

names = st.text("abcdefgh0123456789_", min_size=1, max_size=6)
words = st.lists(
    st.text("abcxyzäß嗯", min_size=1, max_size=5), min_size=1, max_size=4
)  # a text without odd spaces, which all formats keep


@st.composite
def small_corpora(draw: st.DrawFn) -> list[dict[str, str | None]]:
    speakers = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    rows: list[dict[str, str | None]] = []
    for speaker in sorted(speakers):
        for number in sorted(draw(st.sets(st.integers(0, 99), min_size=1, max_size=3))):
            name = f"{speaker}-{number:02d}"
            text = " ".join(draw(words)) if draw(st.booleans()) else None
            rows.append({"id": name, "speaker": speaker, "text": text})
    return rows


def as_csv(root: Path, rows: list[dict[str, str | None]]) -> Path:
    return write_csv(
        root / "m.csv",
        *(
            {
                "id": r["id"],
                "speaker": r["speaker"],
                "text": r["text"] or "",
                "path": f"tree/{r['speaker']}/{r['id']}.wav",
            }
            for r in rows
        ),
    )


def as_tree(root: Path, rows: list[dict[str, str | None]]) -> Path:
    for r in rows:
        audio = root / "tree" / str(r["speaker"]) / f"{r['id']}.wav"
        audio.parent.mkdir(parents=True, exist_ok=True)
        audio.touch()
        if r["text"]:
            audio.with_suffix(".txt").write_text(r["text"] + "\n", encoding="utf8")
    return root / "tree"


def as_kaldi(root: Path, rows: list[dict[str, str | None]]) -> Path:
    folder = root / "kaldi"
    folder.mkdir()
    paths = {r["id"]: root / "tree" / str(r["speaker"]) / f"{r['id']}.wav" for r in rows}
    files = {
        "wav.scp": [f"{name} {path}" for name, path in paths.items()],
        "utt2spk": [f"{r['id']} {r['speaker']}" for r in rows],
        "text": [f"{r['id']} {r['text']}" for r in rows if r["text"]],
    }
    for name, lines in files.items():
        (folder / name).write_text("".join(line + "\n" for line in lines), encoding="utf8")
    return folder


def as_lhotse(root: Path, rows: list[dict[str, str | None]]) -> Path:
    from lhotse import Recording, RecordingSet, SupervisionSegment, SupervisionSet
    from lhotse.audio import AudioSource

    folder = root / "lhotse"
    folder.mkdir()
    recordings, supervisions = [], []
    for r in rows:
        name, source = str(r["id"]), root / "tree" / str(r["speaker"]) / f"{r['id']}.wav"
        recordings.append(
            Recording(
                id=name,
                sources=[AudioSource(type="file", channels=[0], source=str(source))],
                sampling_rate=16000,
                num_samples=16000,
                duration=1.0,
            )
        )
        supervisions.append(
            SupervisionSegment(
                id=name,
                recording_id=name,
                start=0.0,
                duration=1.0,
                text=r["text"],
                speaker=str(r["speaker"]),
            )
        )
    RecordingSet.from_recordings(recordings).to_file(folder / "recordings.jsonl.gz")
    SupervisionSet.from_segments(supervisions).to_file(folder / "supervisions.jsonl.gz")
    return folder


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=small_corpora())
def test_every_reader_gives_the_same_utterances_for_the_same_corpus(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str | None]]
) -> None:
    root = tmp_path_factory.mktemp("corpus")
    tree = as_tree(root, rows)
    found = {}
    for corpus in (tree, as_csv(root, rows), as_kaldi(root, rows), as_lhotse(root, rows)):
        items = list(open_corpus(corpus))
        utterances = [i for i in items if isinstance(i, Utterance)]
        assert len(utterances) == len(items) == len(rows)
        found[corpus.name] = {
            (u.utterance_id, u.speaker, u.text, u.path.resolve()) for u in utterances
        }
    assert len(found) == 4
    assert all(utterances == found["tree"] for utterances in found.values())
