"""Lines of segments.jsonl: what they may say, and what `validate` finds in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from talkover.manifests.audio import file_sha256, pcm_sha256
from talkover.manifests.canonical import json_sha256
from talkover.manifests.errors import ManifestError
from talkover.manifests.io import write_sessions
from talkover.manifests.schema import (
    Annotation,
    Audio,
    Claim,
    Licences,
    Provenance,
    Session,
    Supervision,
    span_fields,
    time_span,
)
from talkover.manifests.segment_lines import SEGMENTS, read_segments, segment_text
from talkover.manifests.statistics import session_statistics
from talkover.manifests.validate import validate

RATE = 16000
Change = Callable[[list[dict[str, Any]]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One annotated session of 3 s with two segments."""
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).uniform(-1, 1, 3 * RATE), RATE)
    row = Supervision(
        id="a-t0",
        turn_id="a-t0",
        speaker="a-S01",
        speaker_local="S01",
        **span_fields(8000, 32000, RATE),  # type: ignore[arg-type]
        regions=(time_span(8000, 32000, RATE),),
        claim=Claim(backend="b", version="1", confidence=0.5),
    )
    session = Session(
        id="a",
        origin="annotated",
        audio=Audio(
            path="a.wav",
            sha256=file_sha256(path),
            pcm_sha256=pcm_sha256(path),
            sampling_rate=RATE,
            num_samples=3 * RATE,
            num_channels=1,
            format="wav",
            subtype="PCM_16",
        ),
        supervisions=(row,),
        statistics=session_statistics((row,), 3 * RATE, RATE),
        annotation=Annotation(channel="mean", branches=(), num_segments=2),
        provenance=Provenance(
            tool="t", version="1", configuration={}, configuration_hash=json_sha256({})
        ),
        licences=Licences(spdx=()),
        uem=(time_span(0, 3 * RATE, RATE),),
    )
    write_sessions(tmp_path / "cuts.jsonl", [session])
    cut = json.loads((tmp_path / "cuts.jsonl").read_text())
    rows = [line(cut, "a-0", 0, 24000, 0), line(cut, "a-1", 24000, 24000, -16000)]
    write(tmp_path, rows)
    return tmp_path


def line(cut: dict[str, Any], id: str, start: int, count: int, moved: int) -> dict[str, Any]:
    supervision = dict(cut["supervisions"][0], start=(8000 + min(0, moved) * 1.5) / RATE)
    return {
        "id": id,
        "start": start / RATE,
        "duration": count / RATE,
        "channel": 0,
        "supervisions": [supervision],
        "recording": cut["recording"],
        "custom": {
            "talkover": {
                "session": "a",
                "start_sample": start,
                "num_samples": count,
                "boundary_cost": 1.0,
                "boundary_confidence": 0.5,
                "event_ids": ["a-t0"],
                "cut_events": [{"event_id": "a-t0", "kind": "turn", "at": 1.5, "sample": 24000}],
                "quality": {"b": 1, "a": None},
            }
        },
        "type": "MonoCut",
    }


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / SEGMENTS).write_text("".join(json.dumps(row) + "\n" for row in rows))


def ours(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = row["custom"]["talkover"]
    return found


def test_good_segments_are_read_and_nothing_is_wrong(folder: Path) -> None:
    assert [v.text() for v in validate(folder)] == []
    first, second = read_segments(folder)
    assert (first.end_sample, second.extras.start_sample) == (24000, 24000)
    assert second.extras.cut_events[0].event_id == "a-t0"
    assert list(read_segments(folder.parent)) == []
    assert json.loads(segment_text(first))["custom"]["talkover"]["session"] == "a"
    (folder / SEGMENTS).unlink()
    assert [v.text() for v in validate(folder)] == []


CHANGES: dict[str, tuple[Change, str]] = {
    "gap": (lambda r: ours(r[1]).update(start_sample=24001), "must be 24000, where the segment"),
    "end": (lambda r: r.pop(), "must reach to sample 48000"),
    "count": (lambda r: r.pop(), "there are 1"),
    "over": (lambda r: ours(r[1]).update(num_samples=24001), "reaches over the recording's 48000"),
    "seconds": (lambda r: r[0].update(duration=1.4), "must be 1.5 by its samples"),
    "session": (lambda r: ours(r[0]).update(session="b"), "is not in cuts.jsonl"),
    "event": (lambda r: ours(r[0]).update(event_ids=["x"]), "is no supervision or event"),
    "twice": (lambda r: r[1].update(id="a-0"), "is in the file already"),
    "outside": (lambda r: r[1]["supervisions"][0].update(start=-2.5), "has no part in the segment"),
    "stranger": (lambda r: r[0]["supervisions"][0].update(id="x"), "is no supervision of"),
    "recording": (
        lambda r: r[0]["recording"]["sources"][0].update(source="b.wav"),
        "is not that of the session",
    ),
    "form": (lambda r: ours(r[0]).update(boundary_confidence=2.0), "less than or equal to 1"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_fault_is_found(folder: Path, name: str) -> None:
    change, message = CHANGES[name]
    rows = [json.loads(text) for text in (folder / SEGMENTS).read_text().splitlines()]
    change(rows)
    write(folder, rows)
    found = [v for v in validate(folder) if v.rule == "segments"]
    assert any(message in v.message for v in found), [v.text() for v in found]


def test_a_torn_file_is_refused_with_its_line(folder: Path) -> None:
    text = (folder / SEGMENTS).read_text()
    (folder / SEGMENTS).write_text(text[:-20])
    with pytest.raises(ManifestError, match=r"segments\.jsonl:2"):
        list(read_segments(folder))
    assert any(v.rule == "segments" for v in validate(folder))
