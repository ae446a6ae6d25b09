"""Stages are made once for what decides them; branches fail alone; what they say is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from scripted_backends import CALLS, curve, event, info, result, scripted, turn, write_bursts

from talkover.annotate.backends.base import BackendError, BranchResult
from talkover.annotate.config import AnnotationConfig
from talkover.annotate.inputs import parse_count
from talkover.annotate.media import DecodedAudio
from talkover.annotate.run import annotate_files
from talkover.annotate.speaker_count import SpeakerCount
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import read_sessions
from talkover.manifests.schema import Annotation, Session
from talkover.manifests.segment_lines import read_segments
from talkover.manifests.validate import validate

Use = Callable[..., AnnotationConfig]


def vad(audio: DecodedAudio, upstream: Any, onset: float = 0.5) -> BranchResult:
    return result("vad", turn(0.5, 4.0, "x"), curves={"speech": curve("speech", [0.5] * 100)})


def diarizer(
    audio: DecodedAudio, upstream: Any, *, speakers: SpeakerCount, far: float = 0.0
) -> BranchResult:
    assert "vad" in upstream
    people = [turn(0.5, 3.0, "ana", 0.9), turn(2.5, 4.0, "bo", 0.7), turn(8.0, 99.0, "ana", 0.8)]
    return result("diarizer", *people[: 2 if speakers.limits[1] == 2 else 3])


def music(audio: DecodedAudio, upstream: Any) -> BranchResult:
    return result("music", event("music", 5.0, 7.5, "music", attributes={"tempo_bpm": 120.0}))


def events(audio: DecodedAudio, upstream: Any) -> BranchResult:
    return result("events", event("sound", 7.6, 7.9, "dog"), event("sound", 7.7, 7.8, "dog"))


def quality(audio: DecodedAudio, upstream: Any) -> BranchResult:
    figures = {"snr_db": 2.0, "loudness_lufs": None}
    return result("quality", figures=figures, curves={"level_dbfs": curve("l", [-30.0] * 100)})


def everything(**others: Any) -> dict[str, Any]:
    says = {"vad": vad, "diarizer": diarizer, "music": music, "events": events, "quality": quality}
    return {kind: scripted(kind, function) for kind, function in says.items()} | others


def annotated(audio: Path, out: Path, config: AnnotationConfig, **more: Any) -> Session:
    done = annotate_files([audio], out, config=config, executor="serial", **more)
    assert done is not None
    assert [v.text() for v in validate(out)] == []
    (session,) = read_sessions(out)
    return session


def annotation(session: Session) -> Annotation:
    assert session.annotation is not None
    return session.annotation


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return write_bursts(tmp_path / "talk.wav", [(0.5, 4.0)], 10.0)


def test_every_label_says_who_claims_it_and_how_sure(
    talk: Path, tmp_path: Path, backends: Use
) -> None:
    session = annotated(talk, tmp_path / "out", backends(**everything()))
    assert [(r.speaker_local, r.start, r.end) for r in session.supervisions] == [
        ("S01", 0.5, 3.0),
        ("S02", 2.5, 4.0),
        ("S01", 8.0, 10.0),
    ]
    assert [(e.kind, e.label, e.start, e.end) for e in session.events] == [
        ("music", "music", 5.0, 7.5),
        ("sound", "dog", 7.6, 7.9),
    ]
    assert session.events[0].attributes == {"tempo_bpm": 120.0}
    claims = [row.claim for row in (*session.supervisions, *session.events)]
    assert [(c.backend, c.confidence) for c in claims if c] == [
        ("diarizer", 0.9),
        ("diarizer", 0.7),
        ("diarizer", 0.8),
        ("music", 0.8),
        ("events", 0.8),
    ]
    assert session.statistics is not None and session.statistics.overlap == 0.5
    found = annotation(session)
    assert [b.kind for b in found.branches] == ["vad", "diarizer", "music", "events", "quality"]
    assert (found.flags, found.quality) == (("low_snr",), {"snr_db": 2.0})
    assert "diarizer: 1 events are cut off at the end of the recording" in found.warnings
    (segment,) = read_segments(tmp_path / "out")
    assert segment.extras.quality["level_dbfs"] == -30.0
    assert segment.extras.quality["num_speakers"] == 2
    assert len(segment.extras.event_ids) == 5


def test_what_is_changed_is_made_again_and_nothing_else(
    talk: Path, tmp_path: Path, backends: Use
) -> None:
    out = tmp_path / "out"

    def made(*assignments: str, **more: Any) -> dict[str, int]:
        CALLS.clear()
        annotated(talk, out, backends(*assignments, **everything()), **more)
        return {kind: n for kind, n in CALLS.items() if not kind.endswith(".load")}

    all_five = dict.fromkeys(("vad", "diarizer", "music", "events", "quality"), 1)
    assert made() == all_five
    assert made() == {}
    assert made("segmentation.longest=30") == {}
    assert made("turns.pause=1", "flags.low_snr_db=0") == {}
    assert made("backends.diarizer.options.far=2") == {"diarizer": 1}
    assert made(speakers="2") == {"diarizer": 1}
    assert made(speakers="2") == {}
    readers_of_vad = {"vad": 1, "diarizer": 1, "events": 1, "quality": 1}
    assert made("backends.vad.options.onset=0.6") == readers_of_vad
    assert made() == {}  # what was made at first is still there
    assert made("channel=0") == all_five


def test_a_new_version_of_a_backend_is_asked_again(
    talk: Path, tmp_path: Path, backends: Use
) -> None:
    out = tmp_path / "out"
    annotated(talk, out, backends(**everything()))
    CALLS.clear()
    newer = scripted("music", music, info("music", version="2"))
    session = annotated(talk, out, backends(**everything(music=newer)))
    assert CALLS["music"] == 1 and CALLS["vad"] == 0
    claim = annotation(session).branches[2].claim
    assert (claim.backend, claim.version) == ("music", "1")  # as the result itself says


def test_a_branch_that_fails_costs_that_branch(talk: Path, tmp_path: Path, backends: Use) -> None:
    def refuse(audio: DecodedAudio, upstream: Any) -> BranchResult:
        raise BackendError("too loud for me")

    config = backends(**everything(music=scripted("music", refuse)))
    session = annotated(talk, tmp_path / "out", config)
    assert annotation(session).flags == ("degraded:music", "low_snr")
    assert "music: too loud for me" in annotation(session).warnings
    assert [e.label for e in session.events] == ["dog"]
    healed = annotated(talk, tmp_path / "out", backends(**everything()))
    assert annotation(healed).flags == ("low_snr",)


def test_a_fault_of_a_plug_in_costs_the_file_and_names_the_stage(
    talk: Path, tmp_path: Path, backends: Use
) -> None:
    def fail(audio: DecodedAudio, upstream: Any) -> BranchResult:
        if audio.num_samples > 100_000:
            raise ZeroDivisionError("division by zero")
        return result("events")

    write_bursts(tmp_path / "in" / "short.wav", [(0.5, 4.0)], 5.0)
    talk.rename(tmp_path / "in" / "long.wav")
    config = backends(**everything(events=scripted("events", fail)))
    done = annotate_files([tmp_path / "in"], tmp_path / "out", config=config)
    assert done is not None and done.recordings == 1
    assert [(r.stage, r.reason) for r in done.rejected] == [
        ("events", "ZeroDivisionError: division by zero")
    ]


def test_weights_for_non_commercial_use_are_flagged_through(
    talk: Path, tmp_path: Path, backends: Use
) -> None:
    of = info("diarizer", licence="CC-BY-NC-4.0", non_commercial=True, weights_sha256="a" * 64)
    session = annotated(
        talk,
        tmp_path / "out",
        backends(**everything(diarizer=scripted("diarizer", diarizer, of))),
    )
    assert session.licences.non_commercial is False  # the result's own word counts, see below

    def says(*args: Any, **more: Any) -> BranchResult:
        found = diarizer(*args, **more)
        return BranchResult(backend=of, events=found.events)

    config = backends(**everything(diarizer=scripted("nc", says, of)))
    session = annotated(talk, tmp_path / "other", config, licence="CC-BY-4.0")
    assert session.licences.non_commercial is True
    assert session.licences.spdx == ("CC-BY-4.0", "CC-BY-NC-4.0", "MIT")
    claim = session.supervisions[0].claim
    assert claim is not None and claim.non_commercial and claim.weights_sha256 == "a" * 64


def test_known_voices_get_their_names_and_others_stay_unknown(
    talk: Path, tmp_path: Path, backends: Use
) -> None:
    def names(audio: DecodedAudio, upstream: Mapping[str, Any], voices: Path) -> BranchResult:
        assert sorted(p.name for p in voices.iterdir()) == ["Ana Sá.wav"]
        known = {"name": "Ana Sá", "similarity": 0.83}
        return result(
            "embedder", figures={"names": {"ana": known, "bo": {"name": None, "similarity": 0.1}}}
        )

    voice = write_bursts(tmp_path / "voices" / "Ana Sá.wav", [(0.0, 3.0)], 3.0)
    config = backends(**everything(embedder=scripted("embedder", names)))
    session = annotated(talk, tmp_path / "out", config, enrol=voice.parent)
    speakers = {row.speaker_local: row.speaker for row in session.supervisions}
    assert speakers["S01"].startswith("Ana_S") and speakers["S02"] == f"{session.id}-S02"
    assert [(v.speaker_local, v.name, v.similarity) for v in annotation(session).recognised] == [
        ("S01", "Ana Sá", 0.83),
        ("S02", None, 0.1),
    ]
    CALLS.clear()
    annotated(talk, tmp_path / "out", config, enrol=voice.parent)
    assert not CALLS
    write_bursts(voice, [(0.0, 2.0)], 3.0)
    annotated(talk, tmp_path / "out", config, enrol=voice.parent)
    assert {k: n for k, n in CALLS.items() if not k.endswith(".load")} == {"embedder": 1}
    with pytest.raises(ConfigurationError, match="not a folder of voices"):
        annotate_files([talk], tmp_path / "out", config=config, enrol=tmp_path / "nobody")
    with pytest.raises(ConfigurationError, match=r"needs backends\.diarizer"):
        off = backends(**everything(diarizer=None) | {"diarizer": scripted("d", diarizer)})
        annotate_files(
            [talk],
            tmp_path / "out",
            config=backends("backends.diarizer=none", **everything()),
            enrol=voice.parent,
        )
        assert off


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("table.csv", "file,exact,min,max\ntalk.wav,2,,\nother.wav,,1,3\n"),
        ("table.yaml", "talk.wav: 2\nother.wav: {min: 1, max: 3}\n"),
    ],
)
def test_numbers_of_speakers_may_be_of_a_file(
    talk: Path, tmp_path: Path, backends: Use, name: str, text: str
) -> None:
    other = write_bursts(tmp_path / "other.wav", [(0.5, 4.0)], 10.0, seed=1)
    table = tmp_path / name
    table.write_text(text)
    config = backends(**everything())
    done = annotate_files([talk, other], tmp_path / "out", config=config, speakers=table)
    assert done is not None
    counts = [annotation(s).speakers_asked for s in read_sessions(tmp_path / "out")]
    assert counts == [(2, 2), (1, 3)]
    assert [len(s.supervisions) for s in read_sessions(tmp_path / "out")] == [2, 3]
    with pytest.raises(ConfigurationError, match=r"no file of this run is called 'other\.wav'"):
        annotate_files([talk], tmp_path / "out", config=config, speakers=table)


def test_a_count_that_was_missed_is_said(talk: Path, tmp_path: Path, backends: Use) -> None:
    session = annotated(talk, tmp_path / "out", backends(**everything()), speakers="3-5")
    assert annotation(session).speakers_asked == (3, 5)
    assert "diarizer: 3 to 5 speakers were asked for, 2 were found" in annotation(session).warnings


@pytest.mark.parametrize("text", ["", "x", "4-2", "0", "2-3-4", "-"])
def test_counts_that_are_none_are_refused(text: str) -> None:
    if text == "-":
        assert parse_count(text).limits == (1, None)
        return
    with pytest.raises(ConfigurationError, match="speakers"):
        parse_count(text)


def test_several_channels_are_mixed_picked_or_heard_one_by_one(
    tmp_path: Path, backends: Use
) -> None:
    """Channel 0 speaks at 0.5–2 s, channel 1 at 1.5–4 s; a VAD by level tells them apart."""
    from talkover.annotate.backends.vad import EnergyVad

    path = write_bursts(tmp_path / "two.wav", [(0.5, 2.0), (1.5, 4.0)], 8.0, channels=2)
    spans: dict[str, list[tuple[str, float, float]]] = {}
    for channel in ("mean", "0", "1", "each"):
        config = backends(f"channel={channel}", vad=EnergyVad)
        session = annotated(path, tmp_path / channel, config)
        assert session.audio.num_channels == 2
        assert str(annotation(session).channel) == channel
        spans[channel] = [
            (row.speaker_local, round(row.start, 1), round(row.end, 1))
            for row in session.supervisions
        ]
    assert spans["mean"] == [("S01", 0.5, 4.0)]
    assert spans["0"] == [("S01", 0.5, 2.0)]
    assert spans["1"] == [("S01", 1.4, 4.0)]  # the VAD pads a little
    assert spans["each"] == [("S01", 0.5, 2.0), ("S02", 1.4, 4.0)]
    with pytest.raises(Exception, match="no channel 5"):
        annotated(path, tmp_path / "none", backends("channel=5", vad=EnergyVad))
