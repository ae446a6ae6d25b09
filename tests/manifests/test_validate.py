"""Each rule finds its planted fault, and a sound folder has none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.audio import file_sha256, write_audio
from talkover.manifests.audio_rules import AUDIO_RULES
from talkover.manifests.io import write_sessions
from talkover.manifests.rules import RULES
from talkover.manifests.schema import Session
from talkover.manifests.validate import Violation, validate

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

Cut = dict[str, Any]
Plant = Callable[[Cut], object]


A_LEVEL = {
    "speaker_local": "S07", "unit": "lufs", "asked": -26.0, "measured": -26.0, "definition": "x",
}  # fmt: skip


def ours(cut: Cut, n: int | None = None) -> Any:
    return (cut if n is None else cut["supervisions"][n])["custom"]["talkover"]


def move(span: dict[str, Any], start: int, count: int) -> None:
    span |= {
        "start": start / 16000, "duration": count / 16000,
        "start_sample": start, "num_samples": count,
    }  # fmt: skip


def move_supervision(cut: Cut, n: int, start: int, count: int) -> None:
    """Move a supervision without word times and its regions."""
    row = cut["supervisions"][n]
    row |= {"start": start / 16000, "duration": count / 16000}
    ours(cut, n).update(start_sample=start, num_samples=count)
    move(ours(cut, n)["regions"][0], start, count)
    del ours(cut, n)["regions"][1:]


def move_word(cut: Cut, n: int, word: int, start: int, count: int) -> None:
    cut["supervisions"][n]["alignment"]["word"][word][1:3] = [start / 16000, count / 16000]
    ours(cut, n)["word_samples"][word] = [start, count]


PLANTS: dict[str, tuple[Plant, set[str]]] = {
    # rule: (what breaks it, further rules that cannot but break with it)
    "seconds": (lambda c: c["supervisions"][0].update(start=0.1001), set()),
    "supervision_range": (
        lambda c: move_supervision(c, 1, 150000, 12000),
        {"supervision_order", "statistics", "rttm"},
    ),
    "supervision_length": (
        lambda c: move_supervision(c, 1, 16000, 0),
        {"region_range", "statistics", "rttm"},
    ),
    "supervision_order": (lambda c: c["supervisions"].reverse(), set()),
    "word_range": (lambda c: move_word(c, 0, 0, 1500, 4000), set()),
    "word_order": (lambda c: move_word(c, 0, 1, 1500, 12000), {"word_range"}),
    "word_pause": (lambda c: move_word(c, 0, 1, 9000, 5400), set()),
    "text_words": (lambda c: c["supervisions"][0].update(text="aa cc"), set()),
    "region_range": (lambda c: move(ours(c, 0)["regions"][0], 1500, 12900), {"statistics", "rttm"}),
    "region_gap": (
        lambda c: move(ours(c, 1)["regions"][1], 25000, 11000),
        {"statistics", "rttm"},
    ),
    "self_overlap": (
        lambda c: (
            c["supervisions"][1].update(speaker="ana"),
            ours(c, 1).update(speaker_local="S01"),
            move_supervision(c, 1, 5600, 12000),
        ),
        {"statistics", "rttm", "stem_speaker"},
    ),
    "speaker_local": (
        lambda c: ours(c, 1).update(speaker_local="S03"),
        {"statistics", "seats", "stem_speaker"},
    ),
    "turn_speaker": (
        lambda c: ours(c, 1).update(turn_id=ours(c, 0)["turn_id"]),
        {"statistics"},
    ),
    "statistics": (lambda c: ours(c)["statistics"].update(overlap=1.0), set()),
    "event_range": (lambda c: move(ours(c)["events"][0], 159900, 200), set()),
    "uem_range": (lambda c: move(ours(c)["uem"][0], 0, 160001), set()),
    "microphones": (lambda c: ours(c)["scene"]["microphones"].update(devices=[0]), set()),
    "seats": (lambda c: ours(c)["scene"]["seats"].pop(), set()),
    "stem_speaker": (
        lambda c: ours(c)["mix"]["stems"][1].update(speaker_local="S07"),
        set(),
    ),
    "configuration_hash": (
        lambda c: ours(c)["provenance"]["configuration"].update(b=[1]),
        set(),
    ),
    "registration": (
        lambda c: ours(c)["registration"][0].update(utterance_ids=["ana-0"]),
        set(),
    ),
    "levels": (lambda c: ours(c).update(levels=[A_LEVEL]), set()),
    "event_order": (lambda c: ours(c)["events"].append(ours(c)["events"][0]), set()),
    "channel": (lambda c: ours(c)["mix"].update(channel_peak_dbfs=-3.0), set()),
    "registration_length": (lambda c: ours(c)["registration"][0].update(length=9.0), set()),
    "licences": (lambda c: ours(c)["licences"].update(spdx=["MIT"]), set()),
    "schema": (lambda c: ours(c)["provenance"].update(plan_hash="abc"), set()),
    "schema_version": (lambda c: ours(c).update(schema_version="2.0"), set()),
    "agreement": (lambda c: c["recording"].update(id="session-2"), set()),
    "word_samples": (lambda c: ours(c, 0)["word_samples"].pop(), {"text_words"}),
    "unique_id": (
        lambda c: c["supervisions"][1].update(id=c["supervisions"][0]["id"]),
        set(),
    ),
    "rttm": (
        lambda c: (
            c["supervisions"][1].update(speaker="bob"),
        ),
        set(),
    ),
    "files": (lambda c: ours(c)["registration"][0].update(path="gone.wav"), set()),
    "audio": (lambda c: ours(c)["audio"].update(pcm_sha256="1" * 64), set()),
    "registration_audio": (lambda c: ours(c)["registration"][0].update(duration=0.6), set()),
    "clipping": (lambda c: ours(c)["mix"].update(clipped_samples=7), set()),
    "stem_sum": (lambda c: ours(c)["mix"]["stems"].pop(), set()),
}  # fmt: skip


def rules_of(path: Path, *, check_audio: bool = True) -> set[str]:
    return {violation.rule for violation in validate(path, check_audio=check_audio)}


def plant(folder: Path, change: Plant) -> None:
    path = folder / "cuts.jsonl"
    cut = json.loads(path.read_text(encoding="utf8"))
    change(cut)
    path.write_text(json.dumps(cut) + "\n", encoding="utf8")


def test_a_sound_folder_has_no_violation(produced: Path) -> None:
    assert list(validate(produced)) == []
    assert list(validate(produced / "cuts.jsonl")) == []


def test_every_rule_has_a_planted_fault() -> None:
    assert RULES.keys() | AUDIO_RULES.keys() <= PLANTS.keys()


@pytest.mark.parametrize("rule", sorted(PLANTS))
def test_a_planted_fault_is_found_by_its_rule_and_no_other(produced: Path, rule: str) -> None:
    change, consequences = PLANTS[rule]
    plant(produced, change)
    assert rules_of(produced) == {rule, *consequences}


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_random_sound_sessions_break_no_rule(
    sessions: st.SearchStrategy[Session], data: st.DataObject
) -> None:
    session = data.draw(sessions)
    assert [(n, f) for n, rule in RULES.items() for f in rule(session)] == []


def test_audio_is_left_alone_when_asked(produced: Path) -> None:
    (produced / "audio" / "session-1.wav").unlink()
    assert rules_of(produced, check_audio=False) == set()
    assert rules_of(produced) == {"files"}


def test_a_changed_and_a_truncated_file_are_found(produced: Path) -> None:
    audio = produced / "audio" / "session-1.wav"
    raw = bytearray(audio.read_bytes())
    raw[5000] ^= 0x40
    audio.write_bytes(raw)
    assert rules_of(produced) == {"files", "audio", "stem_sum"}
    audio.write_bytes(raw[:5001])
    assert {"files", "audio"} <= rules_of(produced)


def test_a_link_that_leads_out_of_the_folder_is_found(produced: Path, tmp_path: Path) -> None:
    clip = produced / "registration" / "ana.wav"
    outside = tmp_path.parent / f"{tmp_path.name}-outside.wav"
    clip.rename(outside)
    clip.symlink_to(outside)
    assert [v.message for v in validate(produced)] == ["leads out of the folder of the manifest"]


def test_wrong_sampling_rate_of_the_file_is_named(produced: Path) -> None:
    path = produced / "audio" / "session-1.wav"
    silence = np.zeros((2, 160000), np.float32)
    write_audio(path, [silence], 8000, format="wav", subtype="PCM_16")
    plant(produced, lambda c: ours(c)["audio"].update(sha256=file_sha256(path)))
    found = {v.field: v for v in validate(produced)}
    assert found["audio.sampling_rate"].value == "16000"
    assert found["audio.sampling_rate"].message == "the file's is 8000"


def test_nothing_stops_at_the_first_fault(produced: Path, full_session: Session) -> None:
    path = produced / "cuts.jsonl"
    good = path.read_text(encoding="utf8")
    bad = json.loads(good)
    bad["supervisions"][0]["speaker"] = "a b"
    bad["supervisions"][2]["duration"] = -1.0
    path.write_text("{torn\n" + json.dumps(bad) + "\n" + good + good.rstrip("\n"), encoding="utf8")
    found = list(validate(produced, check_audio=False))
    rules = [(v.line, v.rule) for v in found]
    assert rules[:3] == [(1, "json"), (2, "schema"), (2, "schema")]
    assert (2, "seconds") in rules  # the rules look at a line that the schema forbids, too
    assert rules[-3:] == [(3, "unique_id"), (4, "line"), (4, "unique_id")]
    assert {v.field for v in found if v.line == 2} >= {
        "supervisions[0].speaker",
        "supervisions[2].duration",
    }


def test_sessions_that_only_the_label_file_has_are_found(produced: Path) -> None:
    with (produced / "labels.rttm").open("a") as file:
        file.write("SPEAKER stranger 1 0.0 1.0 <NA> <NA> ana <NA> <NA>\n")
    (found,) = validate(produced)
    assert (found.rule, found.session) == ("rttm", "stranger")


def test_a_shift_of_two_milliseconds_in_the_label_file_is_found(produced: Path) -> None:
    path = produced / "labels.rttm"
    text = path.read_text()
    assert "0.10000" in text
    path.write_text(text.replace("0.10000", "0.10050"))
    assert rules_of(produced) == set()
    path.write_text(text.replace("0.10000", "0.10200"))
    assert rules_of(produced) == {"rttm"}


def test_a_folder_without_a_manifest_is_one_violation(tmp_path: Path) -> None:
    (found,) = validate(tmp_path)
    assert found.rule == "file" and "cuts.jsonl" in found.message


def test_clipped_samples_at_full_scale_are_no_violation(tmp_path: Path, produced: Path) -> None:
    path = produced / "audio" / "session-1.wav"
    signal = np.zeros((2, 160000), np.float32)
    signal[0, :7] = 1.0
    written = write_audio(path, [signal], 16000, format="wav", subtype="PCM_16")

    def describe(cut: Cut) -> None:
        ours(cut)["audio"].update(sha256=file_sha256(path), pcm_sha256=written.pcm_sha256)
        ours(cut)["mix"].update(clipped_samples=7, stems=[])

    plant(produced, describe)
    assert rules_of(produced) == set()
    plant(produced, lambda c: ours(c)["mix"].update(clipped_samples=8))
    assert rules_of(produced) == {"clipping"}


def test_a_violation_reads_as_a_line_and_as_json() -> None:
    violation = Violation(
        rule="seconds", message="must be 1", session="s1", line=4, field="a[0].start", value="2.0"
    )
    assert violation.text() == "s1: a[0].start: must be 1, got 2.0 [seconds]"
    assert json.loads(violation.json_line())["field"] == "a[0].start"


def test_many_sessions_are_validated_one_at_a_time(tmp_path: Path, full_session: Session) -> None:
    """The first violation is there before the rest of the file has been looked at."""
    write_sessions(tmp_path / "cuts.jsonl", [full_session])
    with (tmp_path / "cuts.jsonl").open("a") as file:
        file.write("never\n")
    violations = validate(tmp_path)
    assert next(violations).rule == "files"
    assert [v.rule for v in violations][-1] == "json"
