"""Lines of cuts straight to columns: no model is built, so a million turns take seconds.

A cheap look at each value (is it there, is it a finite number) stands in for the strict reader of
the contract. A line that does not pass is put aside whole and told with the reason that the strict
reader gives; `talkover validate` tells everything.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from talkover.manifests.audit.cells import (
    NAN,
    Json,
    add_row,
    as_text,
    empty_lists,
    maybe,
    number_of,
)
from talkover.manifests.audit.columns import Lists
from talkover.manifests.audit.extract_turns import CutTurns
from talkover.manifests.audit.inputs import Part, lines_of
from talkover.manifests.errors import ManifestError
from talkover.manifests.lhotse_form import parse_line
from talkover.manifests.split_keys import is_synthetic_noise

_STATED = (
    "overlap_of_speech",
    "overlap_of_time",
    "silence_of_time",
    "max_concurrent",
    "num_speakers",
    "num_turns",
)


SUMMED = "reverberant"
"""Target of the stems that sum to the mixture; the others are beside it."""

_WINDOW_EDGE = 0.1
"""Seconds by which a cut may be shorter than its recording and still be all of it."""


def extract_cuts(part: Part) -> tuple[Lists, int]:
    """The raw tables of a part, and how many lines it has.

    Raises:
        ManifestError: If the file cannot be read.
    """
    lists = empty_lists()
    count = 0
    for number, raw, ended in lines_of(part):
        count = number
        if not raw.strip():
            continue
        marks = {name: len(next(iter(columns.values()))) for name, columns in lists.items()}
        session, reason, field = None, None, ""
        try:
            cut = from_json(raw)
            if not isinstance(cut, dict):
                raise ManifestError("must be a JSON object")
            session = cut.get("id")
            if "type" not in cut and "supervisions" not in cut:
                raise ManifestError("is not a Lhotse cut", field="type")
            _Cut(cut, lists, part, number).add()
        except ManifestError as error:
            reason, field = error.reason, error.field or ""
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason, field = _strict_reason(raw, error)
        if reason is not None:
            for name, mark in marks.items():
                for values in lists[name].values():
                    del values[mark:]
        elif not ended:
            reason = "the last line has no line end, so it may be half a line"
        if reason is not None:
            row = {"manifest": str(part.path), "line": number, "field": field, "kind": "line"}
            known = session if isinstance(session, str) else None
            add_row(lists, "problems", {**row, "session": known, "reason": reason})
    return lists, count


def _strict_reason(raw: bytes, error: Exception) -> tuple[str, str]:
    """What the strict reader says of a line, or else what went wrong here."""
    problems = parse_line(raw).problems
    if problems:
        return problems[0].reason, problems[0].field
    return f"not a readable cut: {type(error).__name__}: {error}", ""


class _Cut:
    """One line on its way into the columns."""

    def __init__(self, cut: Json, lists: Lists, part: Part, line: int) -> None:
        self.cut, self.lists, self.part, self.line = cut, lists, part, line
        self.row = len(lists["sessions"]["session"])
        self.session = cut["id"]
        if not isinstance(self.session, str):
            raise TypeError("id must be text")
        custom = cut.get("custom")
        ours = custom.get("talkover") if isinstance(custom, dict) else None
        self.ours: Json = ours if isinstance(ours, dict) else {}
        self.recording = _recording(cut)

    def add(self) -> None:
        recording = self.recording.get("id")
        turns = CutTurns(self.cut, self.lists, self.row, recording).add()
        self._add_session(turns)
        self._add_things()
        self._add_files()

    def _add_session(self, num_supervisions: int) -> None:
        recording, ours = self.recording, self.ours
        audio = ours.get("audio") or {}
        asked = ours.get("asked") or {}
        room = (ours.get("scene") or {}).get("room") or {}
        noise = (ours.get("noise") or [{}])[0]
        mix = ours.get("mix") or {}
        provenance = ours.get("provenance") or {}
        licences = ours.get("licences") or {}
        seed = provenance.get("root_seed")
        sources = recording.get("sources") or [{}]
        channels = self.cut.get("channel")
        row: Json = {
            "session_row": self.row,
            "session": self.session,
            "manifest": str(self.part.path),
            "line": self.line,
            "split": self.part.split or as_text(ours.get("split")),
            "origin": as_text(ours.get("origin")),
            "recording": as_text(recording.get("id")),
            "offset": maybe(self.cut.get("start", 0.0)),
            "is_whole": int(_is_whole(self.cut, recording)),
            "duration": _duration(self.cut),
            "sampling_rate": maybe(audio.get("sampling_rate", recording.get("sampling_rate"))),
            "num_samples": maybe(audio.get("num_samples", recording.get("num_samples"))),
            "num_channels": maybe(audio.get("num_channels", _count(sources, channels))),
            "audio_path": as_text(audio.get("path", _source_path(sources))),
            "pcm_sha256": as_text(audio.get("pcm_sha256")),
            "num_supervisions": num_supervisions,
            **_stated(ours.get("statistics") or {}),
            "asked_overlap_of_speech": maybe(asked.get("overlap_of_speech")),
            "asked_silence_of_time": maybe(asked.get("silence_of_time")),
            "asked_duration": maybe(asked.get("duration")),
            "room_kind": as_text(room.get("kind")),
            "room": as_text(room.get("id")),
            "t60_asked": maybe(room.get("t60_asked")),
            "t60_measured": maybe(room.get("t60_measured")),
            "snr_asked": maybe(noise.get("snr_db_asked")),
            "snr_measured": maybe(noise.get("snr_db_measured")),
            "clipped_samples": maybe(mix.get("clipped_samples")),
            "num_stems": sum(
                stem.get("target", SUMMED) == SUMMED for stem in mix.get("stems") or ()
            ),
            "num_effects": len(ours.get("channel") or ()),
            "has_pre_channel": int(mix.get("pre_channel") is not None),
            "tool": as_text(provenance.get("tool")),
            "configuration_hash": as_text(provenance.get("configuration_hash")),
            "root_seed": None if seed is None else str(seed),
            "session_index": maybe(provenance.get("session_index")),
            "plan_hash": as_text(provenance.get("plan_hash")),
            "licences": " ".join(map(str, licences.get("spdx") or ())) or None,
            "labelled": _labelled(ours.get("uem")),
            "is_talkover": int(bool(ours)),
        }
        add_row(self.lists, "sessions", row)

    def _add_source(self, kind: str, name: str, locus: str, **values: Any) -> None:
        row = {"session_row": self.row, "session": self.session, "kind": kind, "name": name}
        add_row(self.lists, "sources", {**row, "locus": locus, **values})

    def _add_things(self) -> None:
        """Rooms, responses, noises, events and registration clips."""
        ours = self.ours
        scene = ours.get("scene") or {}
        room = scene.get("room") or {}
        if room and room.get("kind") != "dry":
            self._add_source("room", str(room["id"]), "scene.room")
        for n, seat in enumerate(scene.get("seats") or ()):
            response = seat.get("rir_sha256") or seat.get("rir_id") or ""
            self._add_source(
                "rir",
                str(response),
                f"scene.seats[{n}]",
                within=as_text(room.get("id")),
                asked=maybe(seat.get("distance_m")),
                measured=maybe(seat.get("drr_db")),
                speaker=as_text(seat.get("speaker_local")),
            )
        for n, noise in enumerate(ours.get("noise") or ()):
            made = is_synthetic_noise(
                str(noise.get("kind")), str(noise.get("id")), as_text(noise.get("sha256"))
            )
            self._add_source(
                "noise",
                "" if made else str(noise.get("sha256") or noise["id"]),
                f"noise[{n}]",
                licence=as_text(noise.get("licence") or ("synthetic" if made else None)),
                asked=maybe(noise.get("snr_db_asked")),
                measured=maybe(noise.get("snr_db_measured")),
            )
        for n, event in enumerate(ours.get("events") or ()):
            self._add_event(event)
            if source := event.get("source"):
                self._add_source(
                    "event",
                    f"{source['corpus']}/{source['utterance_id']}",
                    f"events[{n}]",
                    licence=as_text(source.get("licence")),
                )
        for n, clip in enumerate(ours.get("registration") or ()):
            for utterance in clip.get("utterance_ids") or ():
                self._add_source(
                    "registration",
                    str(utterance),
                    f"registration[{n}]",
                    within=as_text(clip.get("speaker_local")),
                    speaker=as_text(clip.get("speaker")),
                )

    def _add_event(self, event: Json) -> None:
        row: Json = {"session_row": self.row, "session": self.session, "kind": str(event["kind"])}
        row |= {
            "event": str(event["id"]),
            "label": str(event["label"]),
            "start": number_of(event["start"]),
            "duration": number_of(event["duration"]),
            "snr_asked": maybe(event.get("snr_db_asked")),
            "snr_measured": maybe(event.get("snr_db")),
        }
        add_row(self.lists, "events", row)

    def _add_files(self) -> None:
        ours = self.ours
        audio, mix = ours.get("audio") or {}, ours.get("mix") or {}
        path = self.lists["sessions"]["audio_path"][-1]
        if path is not None:
            self._add_file("audio", path, audio.get("sha256"))
        for stem in mix.get("stems") or ():
            target = stem.get("target", SUMMED)
            role = f"{stem['kind']}_stem" if target == SUMMED else f"{target}_target"
            self._add_file(role, stem["path"], stem.get("sha256"))
        if mix.get("pre_channel") is not None:
            self._add_file("pre_channel", mix["pre_channel"], None)
        for clip in ours.get("registration") or ():
            self._add_file(
                "registration", clip["path"], clip.get("sha256"), maybe(clip.get("duration"))
            )

    def _add_file(self, role: str, path: str, sha256: object, duration: float = NAN) -> None:
        row = {"session_row": self.row, "session": self.session, "role": role, "path": path}
        add_row(self.lists, "files", {**row, "sha256": as_text(sha256), "duration": duration})


def _recording(cut: Json) -> Json:
    """The recording of a cut; empty for a mix of several, or for features without audio."""
    recording = cut.get("recording")
    return recording if isinstance(recording, dict) else {}


def _is_whole(cut: Json, recording: Json) -> bool:
    """Whether a cut is all of its recording: no window of it, all of its channels."""
    if cut.get("start") or "tracks" in cut:
        return False
    length, channels = recording.get("duration"), recording.get("channel_ids")
    if length is not None and number_of(cut["duration"]) < number_of(length) - _WINDOW_EDGE:
        return False
    own = cut.get("channel", channels)
    return channels is None or len(channels) == (len(own) if isinstance(own, list) else 1)


def _duration(cut: Json) -> float:
    if "tracks" in cut:
        ends = [
            number_of(t.get("offset", 0.0)) + number_of(t["cut"]["duration"]) for t in cut["tracks"]
        ]
        return max(ends)
    return number_of(cut["duration"])


def _source_path(sources: list[Json]) -> str | None:
    """The file of a recording with one; None for several files, commands and addresses."""
    if len(sources) != 1 or sources[0].get("type", "file") != "file":
        return None
    return as_text(sources[0].get("source"))


def _count(sources: list[Json], channel: object) -> int | None:
    if len(sources) == 1 and isinstance(sources[0].get("channels"), list):
        return len(sources[0]["channels"])
    return None


def _labelled(uem: list[Json] | None) -> float:
    return NAN if uem is None else sum(number_of(span["duration"]) for span in uem)


def _stated(statistics: Json) -> Json:
    offsets = statistics.get("floor_transfer_offsets") or {}
    pauses = statistics.get("pauses") or {}
    shares = statistics.get("talk_shares") or {}
    row: Json = {f"stated_{name}": maybe(statistics.get(name)) for name in _STATED}
    row["stated_top_share"] = max(map(number_of, shares.values())) if shares else NAN
    row["stated_fto_count"] = maybe(offsets.get("count"))
    row["stated_fto_p50"] = maybe(offsets.get("p50"))
    row["stated_pause_count"] = maybe(pauses.get("count"))
    row["stated_pause_p50"] = maybe(pauses.get("p50"))
    return row
