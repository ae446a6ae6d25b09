"""The audit as a whole: statuses, parts, jobs, cache, other people's corpora, comparison."""

from __future__ import annotations

import gzip
import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from talkover.manifests.audit import Audit, Check, Context, Limits, Result, all_checks
from talkover.manifests.audit.columns import FINDING_COLUMNS, TABLES
from talkover.manifests.audit.findings import of_rows
from talkover.manifests.audit.inputs import lines_of, parts_of
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.split_files import verify_split, write_split
from talkover.manifests.splits import plan_split

FRAMES = ("sessions", "turns", "words", "speakers", "gaps", "overlaps", "sources", "splits")


def states(audit: Audit) -> dict[str, str]:
    return dict(zip(audit.checks["check"], audit.checks["status"], strict=True))


def records(audit: Audit) -> list[dict[str, Any]]:
    return json.loads(audit.findings.to_json(orient="records"))


def test_a_clean_corpus_has_no_finding_and_every_check_looked(corpus: Any) -> None:
    audit = corpus.audit()
    assert records(audit) == []
    assert set(states(audit).values()) == {"passed"}
    assert audit.worst() is None
    assert (audit.checks["examined"] > 0).all()


def test_a_check_without_what_it_needs_is_skipped_and_never_passed(corpus: Any) -> None:
    corpus.voices = None
    for cut in corpus.cuts:
        del cut["custom"]["talkover"]["split"]
    audit = corpus.audit(audio=False)
    got = states(audit)
    needy = {check.name for check in all_checks().values() if check.needs}
    assert {name for name, state in got.items() if state == "skipped"} == needy
    reasons = dict(zip(audit.checks["check"], audit.checks["reason"], strict=True))
    assert reasons["one_voice_one_id"] == "no voice vectors were given"
    assert reasons["speaker_leaks"] == "no splits were given"
    assert reasons["files_exist"] == "audio was not read"


def test_the_stem_law_is_not_applicable_without_stems(corpus: Any) -> None:
    for cut in corpus.cuts:
        cut["custom"]["talkover"]["mix"].pop("stems")
    assert states(corpus.audit())["stem_sum"] == "not applicable"


def test_the_stem_law_is_not_applicable_where_the_mixture_before_the_channel_is_gone(
    corpus: Any,
) -> None:
    for cut in corpus.cuts:
        cut["custom"]["talkover"]["channel"] = [{"name": "telephone", "parameters": {}}]
        corpus.rewrite(cut, lambda x: np.round(x * 64) / 64)
        path = f"audio/{cut['id']}.wav"
        assert (corpus.folder / path).is_file()
    assert states(corpus.audit())["stem_sum"] == "not applicable"


def test_stems_after_a_channel_without_the_mixture_before_it_prove_nothing(corpus: Any) -> None:
    for cut in corpus.cuts:
        ours = cut["custom"]["talkover"]
        stems = ours["mix"]["stems"]
        ours["channel"] = [{"name": "telephone", "parameters": {}}]
        corpus.rewrite(cut, lambda x: np.round(x * 64) / 64)
        ours["mix"]["stems"] = stems
    audit = corpus.audit()
    assert states(audit)["stem_sum"] == "not applicable"


@pytest.mark.parametrize("part_bytes", [1000, 20_000, 300_000])
def test_parts_of_a_manifest_hold_each_line_once(corpus: Any, part_bytes: int) -> None:
    file = corpus.write() / "cuts.jsonl"
    parts = parts_of([file], part_bytes=part_bytes)
    assert len(parts) > 1
    lines = [raw for part in parts for _, raw, _ in lines_of(part)]
    assert b"\n".join(lines) + b"\n" == file.read_bytes()


def test_neither_parts_nor_workers_nor_the_cache_change_the_result(
    corpus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cut in corpus.some(20):
        corpus.turn(cut)["text"] += " more"
        corpus.turn(cut)["recording_id"] = "elsewhere"
    corpus.lines = [json.dumps(cut) + "\n" for cut in corpus.cuts]
    corpus.lines[7] = "{torn\n"
    corpus.lines[20] = "[]\n"
    folder = corpus.write()
    whole = Audit.from_manifests(folder, executor="serial", audio=False)
    assert {"text_is_words", "matching_ids", "readable_lines"} <= set(whole.findings["check"])
    assert "line 21 of" in "".join(whole.findings["locus"])
    monkeypatch.setattr("talkover.manifests.audit.inputs.PART_BYTES", 100_000)
    monkeypatch.setattr(
        "talkover.manifests.audit.audit.parts_of",
        lambda paths, splits: parts_of(paths, splits, part_bytes=100_000),
    )
    cache = tmp_path / "cache"
    for options in ({"executor": "serial"}, {"jobs": 2}, {"executor": "serial"}):
        again = Audit.from_manifests(folder, audio=False, cache=cache, **options)
        assert records(again) == records(whole)
        for name in FRAMES:
            pd.testing.assert_frame_equal(
                getattr(again, name), getattr(whole, name), check_categorical=False
            )


def test_a_changed_manifest_is_not_taken_from_the_cache(corpus: Any) -> None:
    assert records(corpus.audit(audio=False)) == []
    corpus.cuts[0]["supervisions"][0]["text"] += " more"
    assert [one["check"] for one in records(corpus.audit(audio=False))] == ["text_is_words"]


def test_a_changed_file_is_not_taken_from_the_cache(corpus: Any) -> None:
    assert records(corpus.audit()) == []
    corpus.own_file("audio/s000.wav").write_bytes(b"RIFF")
    assert {one["check"] for one in records(corpus.audit())} == {"audio_decodes"}


def test_tables_have_the_documented_columns_and_dtypes(corpus: Any, helpers: Any) -> None:
    corpus.cuts[0]["supervisions"][0]["text"] += " more"
    event = {"id": "door1", "kind": "sound", "label": "door", **helpers.span(8000, 800)}
    helpers.ours(corpus.cuts[0])["events"] = [event]
    audit = corpus.audit()
    for name, columns in TABLES.items():
        frame = audit.tables[name]
        assert list(frame) == [column.name for column in columns], name
        assert [str(d) for d in frame.dtypes] == [c.dtype for c in columns], name
        assert len(frame) or name == "problems"
    assert list(audit.findings) == [column.name for column in FINDING_COLUMNS]
    assert [str(d) for d in audit.findings.dtypes] == [c.dtype for c in FINDING_COLUMNS]


def test_saved_tables_give_the_same_findings(corpus: Any, tmp_path: Path) -> None:
    corpus.cuts[3]["supervisions"][0]["text"] += " more"
    corpus.cuts[5]["custom"]["talkover"]["statistics"]["overlap_of_speech"] += 0.2
    audit = corpus.audit()
    audit.save(tmp_path / "tables")
    again = Audit.from_tables(tmp_path / "tables", embeddings=corpus.voices)
    assert records(again) == records(audit) != []
    assert states(again) == states(audit)
    with pytest.raises(ManifestError, match="no tables"):
        Audit.from_tables(tmp_path)


def plain_lhotse(cuts: list[Any]) -> list[Any]:
    """The cuts as somebody without talkover would write them."""
    plain = json.loads(json.dumps(cuts))
    for cut in plain:
        del cut["custom"]
        for row in cut["supervisions"]:
            del row["custom"]
    return plain


def test_plain_lhotse_is_audited_and_what_it_lacks_is_not_applicable(corpus: Any) -> None:
    corpus.cuts = plain_lhotse(corpus.cuts)
    corpus.lines = [json.dumps(cut) + "\n" for cut in corpus.cuts]
    corpus.rttm = []
    (corpus.folder / "cuts.jsonl").write_text("".join(corpus.lines))
    audit = Audit.from_manifests(corpus.folder, executor="serial", cache=corpus.cache)
    assert records(audit) == []
    got = states(audit)
    none = {name for name, state in got.items() if state == "not applicable"}
    assert none == {
        "content_hash", "overlap_ratio", "turn_taking", "asked_measured", "snr", "room_acoustics",
        "stem_sum", "reuse", "registration_outside", "licence_and_provenance",
    }  # fmt: skip
    assert got["label_energy"] == got["words_inside"] == "passed"
    assert (audit.turns["num_words"] > 0).all()


def test_words_of_a_cut_window_are_on_the_clock_of_the_cut(corpus: Any, tmp_path: Path) -> None:
    from lhotse import CutSet

    whole = plain_lhotse(corpus.cuts)[0]
    (tmp_path / "whole.jsonl").write_text(json.dumps(whole) + "\n")
    cut = next(iter(CutSet.from_file(tmp_path / "whole.jsonl")))
    first = cut.supervisions[5]
    window = cut.truncate(offset=first.start - 0.1, duration=first.duration + 0.2)
    mixed = window.mix(cut.truncate(offset=0, duration=2), offset_other_by=1.5)
    for n, one in enumerate((window, mixed)):
        file = tmp_path / f"{n}.jsonl"
        CutSet.from_cuts([one.with_id(f"w{n}")]).to_file(file)
        audit = Audit.from_manifests(file, executor="serial", audio=False)
        words = audit.words[audit.words["turn_row"] == 0]
        assert float(words["start"].iloc[0]) == pytest.approx(float(audit.turns["start"].iloc[0]))


def test_windows_of_one_recording_are_no_duplicates_and_sound_where_they_should(
    corpus: Any,
) -> None:
    from lhotse import CutSet

    whole = plain_lhotse(corpus.cuts)[:2]
    for cut in whole:
        cut["recording"]["sources"][0]["source"] = str(
            corpus.folder / cut["recording"]["sources"][0]["source"]
        )
    file = corpus.folder / "cuts.jsonl"
    file.write_text("".join(json.dumps(cut) + "\n" for cut in whole))
    windows = [
        cut.truncate(offset=start, duration=20.03, preserve_id=False).with_id(f"w{n}-{start}")
        for n, cut in enumerate(CutSet.from_file(file))
        for start in (10.0, 31.37)
    ]
    for window in windows:  # ids of supervisions that both windows hold
        window.supervisions = [s.with_alignment("x", []) for s in window.supervisions]
        for s in window.supervisions:
            s.id = f"{window.id}-{s.id}"
            s.alignment.pop("x")
    CutSet.from_cuts(windows).to_file(corpus.folder / "windows.jsonl")
    audit = Audit.from_manifests(corpus.folder / "windows.jsonl", executor="serial")
    assert (audit.sessions["is_whole"] == 0).all()
    told = audit.findings[~audit.findings["check"].isin(["turns_inside", "matching_ids"])]
    assert told.to_dict("records") == []  # truncation leaves supervisions that stick out
    assert audit.checks.set_index("check").loc["label_energy", "examined"] == 4


def test_gzip_and_several_manifests_are_read(corpus: Any, tmp_path: Path) -> None:
    folder = corpus.write()
    lines = (folder / "cuts.jsonl").read_text().splitlines(keepends=True)
    for n, half in enumerate((lines[:12], lines[12:])):
        (tmp_path / f"half{n}.jsonl.gz").write_bytes(gzip.compress("".join(half).encode()))
    paths = [tmp_path / "half0.jsonl.gz", tmp_path / "half1.jsonl.gz"]
    audit = Audit.from_manifests(paths, executor="serial", audio=False)
    assert len(audit.sessions) == 24 and records(audit) == []
    assert audit.turns["session_row"].max() == 23


@pytest.fixture
def rttm_and_wav(corpus: Any, tmp_path: Path) -> Path:
    """A folder of other people: one RTTM, and audio by session."""
    folder = tmp_path / "theirs"
    (folder / "wav").mkdir(parents=True)
    corpus.write()
    shutil.copy(corpus.folder / "labels.rttm", folder / "all.rttm")
    for cut in corpus.cuts:
        shutil.copy(corpus.folder / f"audio/{cut['id']}.wav", folder / "wav")
    text = (folder / "all.rttm").read_text()
    for cut in corpus.cuts:  # the fixture's writer names nobody
        for row in cut["supervisions"]:
            text = text.replace(" x <NA>", f" {row['speaker'][-2:]} <NA>", 1)
    (folder / "all.rttm").write_text(text)
    return folder


def test_rttm_and_wav_are_audited(rttm_and_wav: Path) -> None:
    audit = Audit.from_manifests(rttm_and_wav, executor="serial")
    assert records(audit) == []
    got = states(audit)
    assert got["label_energy"] == got["files_exist"] == got["turns_inside"] == "passed"
    assert got["text_legal"] == got["words_inside"] == "not applicable"
    assert audit.sessions["sampling_rate"].eq(8000).all()


def test_rttm_and_wav_that_do_not_go_together_are_told(rttm_and_wav: Path) -> None:
    (rttm_and_wav / "wav" / "s004.wav").unlink()
    sf.write(rttm_and_wav / "wav" / "stray.wav", np.zeros(80), 8000)
    audit = Audit.from_manifests(rttm_and_wav, executor="serial")
    told = {(one["check"], one["session"]) for one in records(audit)}
    assert told == {("files_exist", "s004"), ("matching_ids", "stray")}


def test_labels_alone_are_audited_without_audio(rttm_and_wav: Path, tmp_path: Path) -> None:
    shutil.copy(rttm_and_wav / "all.rttm", tmp_path / "only.rttm")
    (tmp_path / "corpus").rename(tmp_path / "gone") if (tmp_path / "corpus").exists() else None
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    shutil.copy(tmp_path / "only.rttm", lonely)
    audit = Audit.from_manifests(lonely / "only.rttm", executor="serial")
    assert records(audit) == []
    assert states(audit)["files_exist"] == "not applicable"


def test_lines_of_a_label_file_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text(
        "SPEAKER s 1 0.0 1.0 <NA> <NA> a <NA> <NA>\nSPEAKER s 1 later 1.0 <NA> <NA> a <NA> <NA>\n"
    )
    audit = Audit.from_manifests(tmp_path, executor="serial")
    told = audit.findings[audit.findings["check"] == "readable_lines"]
    assert told["locus"].str.startswith("line 2 of").tolist() == [True]


def test_leaks_are_those_that_the_split_planner_finds(corpus: Any, helpers: Any) -> None:
    from talkover.manifests.lhotse_form import session_of_line

    test = corpus.cuts[20]
    test["supervisions"][0]["speaker"] = corpus.cuts[0]["supervisions"][0]["speaker"]
    helpers.ours(test["supervisions"][1])["source"].update(
        helpers.ours(corpus.cuts[1]["supervisions"][0])["source"]
    )
    helpers.ours(test)["scene"]["room"]["id"] = helpers.ours(corpus.cuts[2])["scene"]["room"]["id"]
    sides: dict[str, list[Any]] = {"train": [], "test": []}
    for cut in json.loads(json.dumps(corpus.cuts)):
        ours = helpers.ours(cut)
        ours["mix"].pop("stems")
        sides[ours["split"]].append(session_of_line(json.dumps(cut)))
    planner = {(leak.kind, leak.name) for leak in verify_split(sides)}
    assert {kind for kind, _ in planner} == {"speaker", "utterance", "recording", "room"}
    found = corpus.audit(audio=False).findings
    told = found[found["check"].str.endswith("_leaks")]["locus"].str.split(" ", n=1)
    audited = {(kind, name) for kind, name in told}
    assert ("speaker", test["supervisions"][0]["speaker"]) in audited
    # The planner tells the recording of a shared utterance, too, and puts the kind before a room.
    assert {kind for kind, _ in audited} == {"speaker", "utterance", "room"}
    names = {name.removeprefix("room/") for kind, name in planner if kind != "recording"}
    assert {name for _, name in audited} == names


def test_a_split_that_talkover_made_has_no_leak(corpus: Any, helpers: Any, tmp_path: Path) -> None:
    from talkover.manifests.io import read_sessions

    folder = corpus.write()
    plan = plan_split(read_sessions(folder), fractions={"train": 0.5, "test": 0.5})
    write_split(folder, tmp_path / "split", plan)
    audit = Audit.from_manifests(tmp_path / "split", executor="serial", audio=False)
    assert set(audit.splits["split"]) == {"train", "test"}
    assert not [one for one in records(audit) if one["check"].endswith("_leaks")]
    assert audit.splits["shared_speakers"].sum() == 0


def test_splits_can_be_named(corpus: Any) -> None:
    folder = corpus.write()
    both = Audit.from_manifests(
        splits={"one": folder, "two": folder}, executor="serial", audio=False
    )
    assert {"unique_ids", "speaker_leaks", "source_leaks", "scene_leaks"} <= set(
        both.findings["check"]
    )
    assert (both.splits["shared_speakers"] == both.splits["speakers"]).all()


def test_voices_that_cannot_be_read_are_refused(corpus: Any, tmp_path: Path) -> None:
    pd.DataFrame({"speaker": ["a"]}).to_parquet(tmp_path / "v.parquet")
    with pytest.raises(ManifestError, match="lacks the column vector"):
        Audit.from_manifests(corpus.write(), embeddings=tmp_path / "v.parquet")
    uneven = pd.DataFrame({"speaker": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]})
    with pytest.raises(ManifestError, match="one length"):
        Audit.from_manifests(corpus.write(), embeddings=uneven)


def test_a_reference_is_held_against(corpus: Any, rttm_and_wav: Path) -> None:
    same = corpus.audit(audio=False, reference=rttm_and_wav / "all.rttm")
    assert states(same)["turn_taking"] == "passed"
    shifted = rttm_and_wav / "slow.rttm"
    lines = (rttm_and_wav / "all.rttm").read_text().splitlines()
    fields = [line.split() for line in lines]
    shifted.write_text(
        "".join(" ".join([*f[:3], f"{float(f[3]) * 3:.3f}", *f[4:]]) + "\n" for f in fields)
    )
    other = corpus.audit(audio=False, reference=shifted)
    assert set(other.findings["check"]) == {"turn_taking"}
    assert len(other.plot.floor_transfer().axes[0].patches) == 2


def test_two_corpora_are_compared(corpus: Any, rttm_and_wav: Path) -> None:
    ours = corpus.audit(audio=False)
    theirs = Audit.from_manifests(rttm_and_wav / "all.rttm", executor="serial", audio=False)
    table = ours.compare(theirs).set_index("figure")
    assert table.loc["sessions", "difference"] == 0
    assert table.loc["overlap of speech, mean", "difference"] == pytest.approx(0, abs=1e-3)
    assert table.loc["floor-transfer offset, distance", "difference"] < 0.01
    assert np.isnan(table.loc["T60, median", "other"])


def _silly(context: Context) -> Result:
    rows = [{"session": None, "locus": "everywhere", "value": str(len(context.tables["turns"]))}]
    return of_rows(rows, 1)


SILLY = Check(
    number=100, name="silly", severity="warning", scope="corpus", owns="nonsense", run=_silly
)


def test_other_packages_add_checks(corpus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("silly", f"{__name__}:SILLY", "talkover.audit_checks")
    monkeypatch.setattr(type(point), "load", lambda self: SILLY)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    audit = corpus.audit(audio=False)
    assert [one["check"] for one in records(audit)] == ["silly"]
    assert audit.worst() == "warning"
    monkeypatch.setattr(type(point), "load", lambda self: "no check")
    with pytest.raises(ConfigurationError, match="must be a Check"):
        all_checks()


def test_limits_and_checks_can_be_chosen(corpus: Any) -> None:
    corpus.limits = Limits(max_turn=1.0)
    audit = corpus.audit(audio=False, checks=["turn_length", "text_legal"])
    assert list(audit.checks["check"]) == ["text_legal", "turn_length"]
    assert set(audit.findings["check"]) == {"turn_length"}
    with pytest.raises(ConfigurationError, match="unknown check 'nonesuch'"):
        corpus.audit(checks=["nonesuch"])
    with pytest.raises(ValueError, match="max_speakers"):
        Limits(max_speakers=0)


def test_nothing_to_audit_is_refused(tmp_path: Path) -> None:
    for paths, message in (([], "nothing to audit"), ([tmp_path], "holds no cuts"),
                           ([tmp_path / "no"], "no such file")):  # fmt: skip
        with pytest.raises(ManifestError, match=message):
            Audit.from_manifests(paths)


def test_an_empty_manifest_is_an_empty_corpus(tmp_path: Path) -> None:
    (tmp_path / "cuts.jsonl").write_text("")
    audit = Audit.from_manifests(tmp_path, executor="serial")
    assert len(audit.sessions) == 0 and records(audit) == []
    assert set(states(audit).values()) == {"not applicable", "skipped"}
    audit.to_html(tmp_path / "page.html")


def test_targets_beside_the_stems_are_no_part_of_the_mixture(corpus: Any) -> None:
    for cut in corpus.cuts:
        stems = cut["custom"]["talkover"]["mix"]["stems"]
        own = [stem for stem in stems if stem["kind"] == "speaker"]
        stems += [{**stem, "target": name} for stem in own for name in ("early", "dry")]
    audit = corpus.audit()
    assert records(audit) == []
    assert {"early_target", "dry_target"} <= set(audit.tables["files"]["role"])
    examined = dict(zip(audit.checks["check"], audit.checks["examined"], strict=True))
    assert examined["stem_sum"] == len(corpus.cuts)


def test_the_noise_stem_is_the_sum_of_several_noises(corpus: Any) -> None:
    for cut in corpus.cuts:
        noises = cut["custom"]["talkover"]["noise"]
        for key in ("snr_db_asked", "snr_db_measured"):
            noises[0][key] += 10 * np.log10(2)  # half the power each
        noises.append({**noises[0]})
    assert records(corpus.audit()) == []
    for cut in corpus.cuts:
        for key in ("snr_db_asked", "snr_db_measured"):
            cut["custom"]["talkover"]["noise"][1][key] -= 20
    assert set(corpus.audit().findings["check"]) == {"snr"}


def test_a_labelled_sound_may_be_as_loud_as_speech(corpus: Any) -> None:
    cut = corpus.cuts[0]
    rate = cut["recording"]["sampling_rate"]
    first = int(cut["duration"] * rate) - rate  # after the last turn
    burst = np.random.default_rng(1).normal(size=rate) * 0.3

    def loud(signal: np.ndarray) -> np.ndarray:
        signal = signal.copy()
        signal[first : first + len(burst)] += burst[: len(signal) - first]
        return signal

    corpus.rewrite(cut, loud)
    assert [row["check"] for row in records(corpus.audit())] == ["label_energy"]
    event = {"id": "e1", "kind": "sound", "label": "door", "start": first / rate, "duration": 1.0}
    ours = cut["custom"]["talkover"]
    ours["events"] = [event | {"start_sample": first, "num_samples": rate}]
    audit = corpus.audit()
    assert records(audit) == []
    assert audit.tables["events"]["label"].tolist() == ["door"]
