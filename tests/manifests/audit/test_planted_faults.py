"""Faults in random places of a clean corpus: each is found, by the check that owns it alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from talkover.manifests.audit import CHECKS, Limits, all_checks

pytestmark = pytest.mark.medium

PLACES = 20
Plant = Callable[[Any, Any], None]
FAULTS: dict[str, tuple[str, Plant]] = {}
"""Owner and maker of each kind of fault."""


def fault(owner: str) -> Callable[[Plant], Plant]:
    def enter(plant: Plant) -> Plant:
        FAULTS[plant.__name__] = (owner, plant)
        return plant

    return enter


def others(corpus: Any, chosen: list[Any]) -> list[Any]:
    return [cut for cut in corpus.cuts if cut not in chosen]


def rename(cut: Any, name: str) -> None:
    """Another id of a session, everywhere it stands, as ids must be told apart below it, too."""
    cut["id"] = cut["recording"]["id"] = name
    for row in cut["supervisions"]:
        row["recording_id"] = name


# Lines, ids, order


@fault("readable_lines")
def torn_json(corpus: Any, h: Any) -> None:
    import json

    chosen = corpus.some(PLACES)
    corpus.lines = []
    for number, cut in enumerate(corpus.cuts, start=1):
        line = json.dumps(cut)
        if cut in chosen:
            line = line[: int(corpus.rng.integers(2, len(line) - 1))]
            corpus.expect(None, f"line {number} of")
        corpus.lines.append(line + "\n")
    corpus.rttm = others(corpus, chosen)


@fault("readable_lines")
def missing_field(corpus: Any, h: Any) -> None:
    chosen = corpus.some(PLACES)
    for cut in chosen:
        del corpus.turn(cut)[str(corpus.rng.choice(["start", "duration", "id"]))]
        corpus.expect(cut)
    corpus.rttm = others(corpus, chosen)


@fault("readable_lines")
def times_that_are_no_numbers(corpus: Any, h: Any) -> None:
    chosen = corpus.some(PLACES)
    for cut in chosen:
        corpus.turn(cut)["start"] = [None, "soon", {}][int(corpus.rng.integers(3))]
        corpus.expect(cut)
    corpus.rttm = others(corpus, chosen)


@fault("unique_ids")
def session_id_twice(corpus: Any, h: Any) -> None:
    chosen = corpus.some(PLACES)
    keep = others(corpus, chosen)
    for n, cut in enumerate(chosen):
        rename(cut, keep[n % len(keep)]["id"])
        corpus.expect(cut)


@fault("unique_ids")
def supervision_id_twice_in_a_session(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        rows = cut["supervisions"]
        a, b = sorted(corpus.rng.choice(len(rows), 2, replace=False).tolist())
        rows[b]["id"] = rows[a]["id"]
        corpus.expect(cut, rows[a]["id"])


@fault("unique_ids")
def supervision_id_of_another_session(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        n = corpus.cuts.index(cut)
        row = corpus.turn(cut)
        row["id"] = corpus.turn(corpus.cuts[n - 1])["id"]
        later = cut if n else corpus.cuts[-1]  # the later of the two is told
        corpus.expect(later, row["id"])


@fault("unique_ids")
def recording_id_of_two_files(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        n = corpus.cuts.index(cut)
        other = corpus.cuts[n - 1]["recording"]["id"]
        cut["recording"]["id"] = other
        for row in cut["supervisions"]:
            row["recording_id"] = other
        corpus.expect(None, other)


@fault("legal_ids")
def space_in_a_session_id(corpus: Any, h: Any) -> None:
    chosen = corpus.some(PLACES)
    corpus.rttm = others(corpus, chosen)
    for cut in chosen:
        rename(cut, f"{cut['id']} take 2")
        corpus.expect(cut)


@fault("legal_ids")
def slash_in_a_supervision_id(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        row["id"] = f"a/{row['id']}"
        corpus.expect(cut, row["id"])


@fault("legal_ids")
def illegal_speaker(corpus: Any, h: Any) -> None:
    chosen = corpus.some(PLACES)
    for cut in chosen:
        old = corpus.turn(cut)["speaker"]
        for row in cut["supervisions"]:
            if row["speaker"] == old:
                row["speaker"] = "Zoë B."
        for clip in h.ours(cut)["registration"]:
            if clip["speaker"] == old:
                clip["speaker"] = "Zoë B."
        corpus.expect(cut, "Zoë B.")
        h.ours(cut)["split"] = "train"  # one name in two splits would be a leak


@fault("matching_ids")
def supervision_of_another_recording(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        row["recording_id"] = "elsewhere"
        corpus.expect(cut, row["id"])


@fault("matching_ids")
def session_missing_in_the_rttm(corpus: Any, h: Any) -> None:
    chosen = corpus.some(PLACES)
    corpus.rttm = others(corpus, chosen)
    for cut in chosen:
        corpus.expect(cut, "not in labels.rttm")


@fault("matching_ids")
def session_only_in_the_rttm(corpus: Any, h: Any) -> None:
    corpus.rttm = list(corpus.cuts)
    for n in range(PLACES):
        ghost = {**corpus.cuts[n], "id": f"ghost-{n}"}
        corpus.rttm.append(ghost)
        corpus.expect(ghost, "not in cuts.jsonl")


@fault("matching_ids")
def local_speaker_of_two_speakers(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut, first=4)
        names = sorted({h.ours(r)["speaker_local"] for r in cut["supervisions"]})
        names.remove(h.ours(row)["speaker_local"])
        h.ours(row)["speaker_local"] = names[0]
        corpus.expect(cut, row["id"])


@fault("time_order")
def supervisions_swapped(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        rows = cut["supervisions"]
        n = int(corpus.rng.integers(len(rows) - 1))
        rows[n], rows[n + 1] = rows[n + 1], rows[n]
        corpus.expect(cut, rows[n + 1]["id"])


# Files


@fault("files_exist")
def audio_missing(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        (corpus.folder / h.ours(cut)["audio"]["path"]).unlink()
        corpus.expect(cut, ".wav")


@fault("files_exist")
def stem_missing(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        stems = h.ours(cut)["mix"]["stems"]
        path = stems[int(corpus.rng.integers(len(stems)))]["path"]
        (corpus.folder / path).unlink()
        corpus.expect(cut, path)


@fault("files_exist")
def registration_missing(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        clips = h.ours(cut)["registration"]
        path = clips[int(corpus.rng.integers(len(clips)))]["path"]
        (corpus.folder / path).unlink()
        corpus.expect(cut, path)


@fault("audio_decodes")
def audio_truncated(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        path = h.ours(cut)["audio"]["path"]
        file = corpus.own_file(path)
        file.write_bytes(file.read_bytes()[: int(corpus.rng.integers(100, 100000))])
        corpus.expect(cut, path)


@fault("audio_decodes")
def audio_of_garbage(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        path = h.ours(cut)["mix"]["stems"][0]["path"]
        corpus.own_file(path).write_bytes(corpus.rng.bytes(5000))
        corpus.expect(cut, path)


@fault("audio_decodes")
def audio_empty(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        path = h.ours(cut)["registration"][0]["path"]
        corpus.own_file(path).write_bytes(b"")
        corpus.expect(cut, path)


@fault("audio_as_declared")
def one_sample_more_declared(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        h.ours(cut)["audio"]["num_samples"] += 1
        corpus.expect(cut, "num_samples")


@fault("audio_as_declared")
def other_rate_declared(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        h.ours(cut)["audio"]["sampling_rate"] = 16000
        corpus.expect(cut, "sampling_rate")


@fault("audio_as_declared")
def more_channels_declared(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        h.ours(cut)["audio"]["num_channels"] = 2
        corpus.expect(cut, "num_channels")


@fault("audio_as_declared")
def registration_of_other_length(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        clip = h.ours(cut)["registration"][int(corpus.rng.integers(3))]
        clip["duration"] += 0.5
        corpus.expect(cut, clip["path"])


@fault("content_hash")
def file_hash_of_another(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        h.ours(cut)["audio"]["sha256"] = h.digest(cut["id"] + "x")
        corpus.expect(cut, h.ours(cut)["audio"]["path"])


@fault("content_hash")
def samples_hash_of_another(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        h.ours(cut)["audio"]["pcm_sha256"] = h.digest(cut["id"] + "y")
        corpus.expect(cut, "pcm_sha256")


# Times


@fault("turns_inside")
def turn_past_the_end(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = cut["supervisions"][-1]
        first = h.ours(row)["start_sample"]
        h.place(row, first, h.SECONDS * h.RATE - first + int(corpus.rng.integers(100, 9000)))
        h.restate(cut)
        corpus.expect(cut, row["id"])


@fault("turns_inside")
def turn_before_the_start(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = cut["supervisions"][0]
        early = int(corpus.rng.integers(100, 4000))
        end = h.ours(row)["start_sample"] + h.ours(row)["num_samples"]
        h.place(row, -early, end + early)
        h.restate(cut)
        corpus.expect(cut, row["id"])


@fault("turns_inside")
def region_outside_of_its_turn(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        first, count = h.ours(row)["start_sample"], h.ours(row)["num_samples"]
        h.ours(row)["regions"] = [h.span(first, count + 400)]
        h.restate(cut)
        corpus.expect(cut, row["id"])


def empty_turn(corpus: Any, h: Any, count: int) -> None:
    """A turn more, of no length or less, where its speaker does not speak."""
    for cut in corpus.some(PLACES):
        rows = cut["supervisions"]
        n = int(corpus.rng.integers(1, len(rows)))
        row = h.supervision(corpus.rng, cut["id"], 900, 0, h.ours(rows[n - 1])["start_sample"], 1)
        h.ours(row)["speaker_local"] = next(
            h.ours(r)["speaker_local"] for r in rows if r["speaker"] == row["speaker"]
        )
        h.say(row, None, None)
        h.place(row, h.ours(row)["start_sample"], count)
        rows.insert(n, row)
        h.restate(cut)
        corpus.expect(cut, row["id"])


@fault("turns_have_length")
def turn_without_length(corpus: Any, h: Any) -> None:
    empty_turn(corpus, h, 0)


@fault("turns_have_length")
def turn_of_negative_length(corpus: Any, h: Any) -> None:
    empty_turn(corpus, h, -4000)


@fault("words_inside")
def words_on_the_clock_of_the_source(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut, first=3)
        for word in row["alignment"]["word"]:
            word[1] = round(word[1] - row["start"], 8)
        corpus.expect(cut, row["id"])


@fault("words_inside")
def words_that_go_back(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut, least=3)
        words = row["alignment"]["word"]
        n = int(corpus.rng.integers(1, len(words)))
        words[n][1], words[n - 1][1] = words[n - 1][1], words[n][1]
        corpus.expect(cut, row["id"])


@fault("words_inside")
def word_past_the_end_of_its_turn(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        row["alignment"]["word"][-1][2] += 0.25
        corpus.expect(cut, row["id"])


@fault("text_is_words")
def text_edited(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        row["text"] += " indeed"
        corpus.expect(cut, row["id"])


@fault("text_is_words")
def word_edited(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        words = row["alignment"]["word"]
        words[int(corpus.rng.integers(len(words)))][0] = "zzz"
        corpus.expect(cut, row["id"])


@fault("text_legal")
def text_empty(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        h.say(row, None, "")
        corpus.expect(cut, row["id"])


@fault("text_legal")
def text_with_a_replacement_character(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        row["text"] += " \ufffd"
        corpus.expect(cut, row["id"])


@fault("text_legal")
def text_with_markup(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        h.say(row, None, row["text"] + "</i>")
        corpus.expect(cut, row["id"])


@fault("text_legal")
def script_of_another_language(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        symbols = ["слово"] * len(row["alignment"]["word"])
        h.say(row, symbols, f"{row['id'][-3:]} " + " ".join(symbols))
        row["text"] = " ".join(symbols)
        h.ours(cut)["split"] = "train"
        corpus.expect(cut, row["id"])


@fault("speaking_rate")
def text_too_long_for_its_time(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        count = int(60 * row["duration"])
        h.say(row, None, row["id"] + " " + "la" * (count // 2))
        corpus.expect(cut, row["id"])


@fault("speaking_rate")
def text_too_short_for_its_time(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut, least=12)
        h.say(row, None, "a")
        corpus.expect(cut, row["id"])


@fault("turn_length")
def turn_too_long(corpus: Any, h: Any) -> None:
    corpus.limits = Limits(max_turn=3.7)
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut, least=12)
        h.place(row, h.ours(row)["start_sample"], int(3.75 * h.RATE))
        h.restate(cut)
        corpus.expect(cut, row["id"])


@fault("self_overlap")
def turn_into_the_next_of_its_speaker(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        rows = cut["supervisions"]
        last: dict[str, Any] = {}
        pairs = []
        for row in rows:
            if row["speaker"] in last:
                pairs.append((last[row["speaker"]], row))
            last[row["speaker"]] = row
        before, after = pairs[int(corpus.rng.integers(len(pairs)))]
        first = h.ours(before)["start_sample"]
        h.place(before, first, h.ours(after)["start_sample"] - first + 1600)
        h.restate(cut)
        corpus.expect(cut, after["id"])


# Sound


@fault("label_energy")
def speech_that_is_not_there(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = cut["supervisions"][int(corpus.rng.integers(3, len(cut["supervisions"])))]
        first, count = h.ours(row)["start_sample"], h.ours(row)["num_samples"]
        noise = corpus.rng.standard_normal(count) * 0.001

        def hush(signal: np.ndarray, first: int = first, noise: np.ndarray = noise) -> np.ndarray:
            signal[first : first + len(noise)] = noise
            return signal

        corpus.rewrite(cut, hush)
        corpus.expect(cut, row["id"])


@fault("label_energy")
def speech_without_a_label(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        rows = cut["supervisions"]
        alone = [
            n
            for n in range(1, len(rows) - 1)
            if rows[n - 1]["start"] + rows[n - 1]["duration"] < rows[n]["start"]
            and rows[n]["start"] + rows[n]["duration"] < rows[n + 1]["start"]
            and rows[n]["duration"] > 1.5
        ]
        n = alone[int(corpus.rng.integers(len(alone)))]
        del rows[n]
        h.name_locals(rows)
        h.ours(cut).update(registration=[])
        h.ours(cut)["mix"].pop("stems")
        h.restate(cut)
        corpus.expect(cut, "as loud as speech")


def resound(change: Callable[[np.ndarray], np.ndarray], token: str) -> Plant:
    def plant(corpus: Any, h: Any) -> None:
        for cut in corpus.some(PLACES):
            corpus.rewrite(cut, change)
            corpus.expect(cut, token)

    return plant


def narrow(signal: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(signal)
    spectrum[int(len(spectrum) * 0.4) :] = 0
    return np.fft.irfft(spectrum, len(signal)) * 2


FAULTS["audio_clipped"] = ("signal_quality", resound(lambda x: np.clip(x * 30, -1, 1), "clipping"))
FAULTS["audio_with_an_offset"] = ("signal_quality", resound(lambda x: x + 0.05, "offset"))
FAULTS["audio_too_faint"] = ("signal_quality", resound(lambda x: x * 0.005, "level"))
FAULTS["audio_of_half_its_band"] = ("signal_quality", resound(narrow, "bandwidth"))


@fault("stem_sum")
def stem_scaled(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        corpus.stem(cut, "speaker", lambda x: x * 0.99)
        corpus.expect(cut, "mix.stems")


@fault("stem_sum")
def stem_late_by_a_sample(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        corpus.stem(cut, "speaker", lambda x: np.roll(x, 1))
        corpus.expect(cut, "mix.stems")


@fault("stem_sum")
def stem_too_short(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        corpus.stem(cut, "speaker", lambda x: x[:-1])
        corpus.expect(cut, "inf")


# Who speaks, and as stated and asked


@fault("speakers_per_session")
def nobody_speaks(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        cut["supervisions"] = []
        h.ours(cut).update(registration=[])
        h.ours(cut)["scene"]["seats"] = []
        noise = corpus.rng.standard_normal(h.SECONDS * h.RATE) * 0.01
        corpus.rewrite(cut, lambda x, noise=noise: noise)
        h.restate(cut)
        corpus.expect(cut, "0")


@fault("speakers_per_session")
def too_many_speakers(corpus: Any, h: Any) -> None:
    corpus.limits = Limits(max_speakers=5)
    for cut in corpus.some(PLACES):
        rows = cut["supervisions"]
        h.ours(cut).update(registration=[])
        for n, row in enumerate(rows):
            row["speaker"] = f"{cut['id']}-p{n % 7}"
        h.name_locals(rows)
        h.restate(cut)
        corpus.expect(cut, "7")


def stated(owner: str, name: str, change: Callable[[Any, Any], None], token: str) -> None:
    def plant(corpus: Any, h: Any) -> None:
        for cut in corpus.some(PLACES):
            change(h.ours(cut)["statistics"], corpus.rng)
            corpus.expect(cut, token)

    FAULTS[name] = (owner, plant)


def more(*path: str, by: float) -> Callable[[Any, Any], None]:
    def change(statistics: Any, rng: Any) -> None:
        for key in path[:-1]:
            statistics = statistics[key]
        step = by if isinstance(by, int) else by * float(rng.uniform(1, 2))
        statistics[path[-1]] += step

    return change


def greater_share(statistics: Any, rng: Any) -> None:
    shares = statistics["talk_shares"]
    top = max(shares, key=shares.__getitem__)
    shares[top] += 0.02


stated(
    "overlap_ratio",
    "overlap_stated_higher",
    more("overlap_of_speech", by=0.02),
    "overlap_of_speech",
)
stated(
    "overlap_ratio", "overlap_of_time_stated_higher", more("overlap_of_time", by=0.02), "of_time"
)
stated("overlap_ratio", "silence_stated_higher", more("silence_of_time", by=0.02), "silence")
stated(
    "speakers_per_session", "one_speaker_more_stated", more("num_speakers", by=1), "num_speakers"
)
stated("talk_share", "greater_talk_share_stated", greater_share, "top_share")
stated("max_concurrent", "more_at_once_stated", more("max_concurrent", by=1), "max_concurrent")
stated("turn_taking", "one_turn_more_stated", more("num_turns", by=1), "num_turns")
stated(
    "turn_taking", "other_offsets_stated", more("floor_transfer_offsets", "p50", by=0.1), "fto_p50"
)
stated(
    "turn_taking", "more_changes_stated", more("floor_transfer_offsets", "count", by=2), "fto_count"
)
stated("turn_taking", "more_pauses_stated", more("pauses", "count", by=1), "pause_count")


@fault("talk_share")
def one_speaker_has_all_the_talk(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        rows = cut["supervisions"]
        h.ours(cut).update(registration=[])
        h.ours(cut)["mix"].pop("stems")
        n = int(corpus.rng.integers(1, len(rows)))
        first = h.ours(rows[n])["start_sample"]
        # One word of another, the first of a turn that starts in an overlap or a silence.
        word = h.supervision(corpus.rng, cut["id"], 900, 1, first, 1)
        for row in rows:
            row["speaker"] = f"{cut['id']}-p0"
        end = 0
        for row in rows:  # nobody over themselves: cut what overlaps
            begin = max(h.ours(row)["start_sample"], end)
            end = h.ours(row)["start_sample"] + h.ours(row)["num_samples"]
            h.say(row, None, row["text"])
            h.place(row, begin, end - begin)
        rows.insert(n + 1, word)
        rows.sort(key=lambda r: h.ours(r)["start_sample"])
        h.name_locals(rows)
        h.restate(cut)
        corpus.expect(cut, "talk share")


@fault("max_concurrent")
def seven_at_once(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        rows = cut["supervisions"]
        h.ours(cut).update(registration=[])
        at = h.ours(corpus.turn(cut))["start_sample"]
        for k in range(6):
            row = h.supervision(corpus.rng, cut["id"], 900 + k, 10 + k, at, 3)
            rows.append(row)
        rows.sort(key=lambda r: h.ours(r)["start_sample"])
        h.name_locals(rows)
        h.restate(cut)
        corpus.expect(cut, "overlap")


@fault("asked_measured")
def overlap_that_nobody_asked_for(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        h.ours(cut)["asked"]["overlap_of_speech"] += float(corpus.rng.uniform(0.3, 0.5))
        corpus.expect(cut, "overlap_of_speech")


@fault("asked_measured")
def silence_that_nobody_asked_for(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        h.ours(cut)["asked"]["silence_of_time"] += float(corpus.rng.uniform(0.3, 0.5))
        corpus.expect(cut, "silence_of_time")


@fault("asked_measured")
def longer_session_asked(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        h.ours(cut)["asked"]["duration"] *= 2
        corpus.expect(cut, "duration")


# Noise, rooms, enrolment, licences


@fault("snr")
def noise_louder_than_asked(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        h.ours(cut)["noise"][0]["snr_db_asked"] += float(corpus.rng.uniform(2, 9))
        corpus.expect(cut, "noise[0]")


@fault("snr")
def event_louder_than_asked(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        event = {"id": "door1", "kind": "sound", "label": "door", **h.span(8000, 800)}
        asked = float(corpus.rng.uniform(5, 9))
        h.ours(cut)["events"] = [event | {"snr_db_asked": asked, "snr_db": asked - 3}]
        corpus.expect(cut, "door1")


@fault("snr")
def stems_of_another_snr(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        noise = h.ours(cut)["noise"][0]
        noise["snr_db_asked"] -= 6
        noise["snr_db_measured"] -= 6
        corpus.expect(cut, "stems")


@fault("room_acoustics")
def other_t60_than_asked(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        h.ours(cut)["scene"]["room"]["t60_measured"] *= 2
        corpus.expect(cut, "t60")


@fault("room_acoustics")
def drr_that_cannot_be(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        n = int(corpus.rng.integers(3))
        h.ours(cut)["scene"]["seats"][n]["drr_db"] = 80.0
        corpus.expect(cut, f"seats[{n}]")


@fault("room_acoustics")
def seat_outside_of_any_room(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        n = int(corpus.rng.integers(3))
        h.ours(cut)["scene"]["seats"][n]["distance_m"] = 400.0
        corpus.expect(cut, f"seats[{n}]")


@fault("registration_outside")
def registration_from_the_session(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        n = int(corpus.rng.integers(3))
        said = h.ours(corpus.turn(cut))["source"]["utterance_id"]
        h.ours(cut)["registration"][n]["utterance_ids"].append(said)
        corpus.expect(cut, f"registration[{n}]")


@fault("registration_outside")
def registration_of_somebody_else(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        clips = h.ours(cut)["registration"]
        clips[0]["speaker_local"], clips[1]["speaker_local"] = (
            clips[1]["speaker_local"],
            clips[0]["speaker_local"],
        )
        corpus.expect(cut, "registration[0]")


@fault("licence_and_provenance")
def source_without_a_licence(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        row = corpus.turn(cut)
        del h.ours(row)["source"]["licence"]
        corpus.expect(cut, row["id"])


@fault("licence_and_provenance")
def licence_that_is_not_listed(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        h.ours(corpus.turn(cut))["source"]["licence"] = "CC-BY-NC-4.0"
        corpus.expect(cut, "CC-BY-NC-4.0")


@fault("licence_and_provenance")
def simulation_without_a_seed(corpus: Any, h: Any) -> None:
    for cut in corpus.some(PLACES):
        name = str(corpus.rng.choice(["root_seed", "plan_hash", "session_index", "tool"]))
        del h.ours(cut)["provenance"][name]
        corpus.expect(cut, name)


# What sessions must not share


@fault("one_voice_one_id")
def one_voice_under_two_ids(corpus: Any, h: Any) -> None:
    voices = corpus.voices
    names = sorted(voices["speaker"].unique())
    chosen = corpus.rng.choice(len(names), 2 * PLACES, replace=False).reshape(-1, 2)
    for a, b in chosen.tolist():
        first = voices.index[voices["speaker"] == names[a]]
        second = voices.index[voices["speaker"] == names[b]]
        for i, j in zip(first, second, strict=True):
            noise = 0.1 * corpus.rng.standard_normal(96)
            voices.at[j, "vector"] = list(np.asarray(voices.at[i, "vector"]) + noise)
        corpus.expect(None, " and ".join(sorted([names[a], names[b]])))


def pairs_over_splits(corpus: Any) -> list[tuple[Any, Any]]:
    """`PLACES` pairs of a session of train and one of test."""
    half = len(corpus.cuts) // 2
    train = corpus.rng.choice(half, PLACES).tolist()
    return [(corpus.cuts[t], corpus.cuts[half + n % half]) for n, t in enumerate(train)]


@fault("speaker_leaks")
def speaker_in_two_splits(corpus: Any, h: Any) -> None:
    taken = set()
    for train, test in pairs_over_splits(corpus):
        free = [r["speaker"] for r in train["supervisions"] if r["speaker"] not in taken]
        own = [r["speaker"] for r in test["supervisions"] if r["speaker"].startswith(test["id"])]
        if not free or not own:
            continue
        taken.add(free[0])
        for thing in [*test["supervisions"], *h.ours(test)["registration"]]:
            if thing["speaker"] == own[0]:
                thing["speaker"] = free[0]
        corpus.expect(None, free[0])


@fault("source_leaks")
def utterance_in_two_splits(corpus: Any, h: Any) -> None:
    for n, (train, test) in enumerate(pairs_over_splits(corpus)):
        source = h.ours(train["supervisions"][n % 10])["source"]
        h.ours(test["supervisions"][n // 12])["source"].update(source)
        corpus.expect(None, source["utterance_id"])


@fault("source_leaks")
def recording_in_two_splits(corpus: Any, h: Any) -> None:
    for n, (train, test) in enumerate(pairs_over_splits(corpus)):
        name = h.ours(train["supervisions"][n % 10])["source"]["recording_id"]
        h.ours(test["supervisions"][n // 12])["source"]["recording_id"] = name
        corpus.expect(None, name)


@fault("scene_leaks")
def room_in_two_splits(corpus: Any, h: Any) -> None:
    half = len(corpus.cuts) // 2
    for n in range(half):
        name = h.ours(corpus.cuts[n])["scene"]["room"]["id"]
        h.ours(corpus.cuts[half + n])["scene"]["room"]["id"] = name
        corpus.expect(None, name)


@fault("scene_leaks")
def response_in_two_splits(corpus: Any, h: Any) -> None:
    for n, (train, test) in enumerate(pairs_over_splits(corpus)):
        name = h.ours(train)["scene"]["seats"][n % 3]["rir_id"]
        h.ours(test)["scene"]["seats"][n // 12]["rir_id"] = name
        corpus.expect(None, name)


@fault("scene_leaks")
def noise_in_two_splits(corpus: Any, h: Any) -> None:
    half = len(corpus.cuts) // 2
    for n in range(half):
        sha = h.ours(corpus.cuts[n])["noise"][0]["sha256"]
        h.ours(corpus.cuts[half + n])["noise"][0]["sha256"] = sha
        corpus.expect(None, sha)


@fault("scene_leaks")
def text_in_two_splits(corpus: Any, h: Any) -> None:
    half = len(corpus.cuts) // 2
    for n in range(half):
        train = corpus.turn(corpus.cuts[n], least=12)
        test = corpus.turn(corpus.cuts[half + n], least=12)
        test["text"], test["alignment"]["word"] = (
            train["text"],
            [
                [said[0], *word[1:]]
                for said, word in zip(
                    train["alignment"]["word"], test["alignment"]["word"], strict=True
                )
            ],
        )
        corpus.expect(None, train["text"][:40])


def copy_of(corpus: Any, h: Any, cut: Any, n: int, gain: float) -> None:
    """A session once more under other ids, its sound as it is or at another level."""
    import json
    import shutil

    text = json.dumps(cut)
    for row in cut["supervisions"]:
        text = text.replace(f'"id": "{row["id"]}"', f'"id": "copy-{row["id"]}"')
    copy = json.loads(text)
    rename(copy, f"copy-{cut['id']}")
    ours = h.ours(copy)
    ours["provenance"].update(plan_hash=h.digest(f"copy {n}"), session_index=1000 + n)
    path = f"audio/copy-{cut['id']}.wav"
    shutil.copyfile(corpus.folder / ours["audio"]["path"], corpus.folder / path)
    ours["audio"]["path"] = path
    copy["recording"]["sources"][0]["source"] = path
    if gain != 1:
        corpus.rewrite(copy, lambda x: x * gain)
    corpus.cuts.append(copy)
    corpus.expect(copy, "audio")


@fault("exact_duplicates")
def session_copied(corpus: Any, h: Any) -> None:
    for n, cut in enumerate(corpus.some(PLACES)):
        copy_of(corpus, h, cut, n, 1.0)


@fault("near_duplicates")
def session_copied_at_another_level(corpus: Any, h: Any) -> None:
    for n, cut in enumerate(corpus.some(PLACES)):
        copy_of(corpus, h, cut, n, 0.7)


@fault("near_duplicates")
def plan_twice(corpus: Any, h: Any) -> None:
    chosen = corpus.some(PLACES)
    keep = others(corpus, chosen)
    for n, cut in enumerate(chosen):
        same = h.ours(keep[n % len(keep)])["provenance"]["plan_hash"]
        h.ours(cut)["provenance"]["plan_hash"] = same
        corpus.expect(None, same[:16])


@fault("near_duplicates")
def seed_and_index_twice(corpus: Any, h: Any) -> None:
    chosen = corpus.some(PLACES)
    keep = others(corpus, chosen)
    for n, cut in enumerate(chosen):
        index = h.ours(keep[n % len(keep)])["provenance"]["session_index"]
        h.ours(cut)["provenance"]["session_index"] = index
        corpus.expect(None, f"index {index}")


@fault("reuse")
def utterance_used_too_often(corpus: Any, h: Any) -> None:
    corpus.limits = Limits(reuse_floor=2, reuse_of_median=2)
    rows = [row for cut in corpus.cuts[:12] for row in cut["supervisions"]]
    order = corpus.rng.permutation(len(rows)).tolist()
    for n in range(PLACES):
        name = f"worn-{n:02d}"
        for k in order[5 * n : 5 * n + 5]:
            h.ours(rows[k])["source"]["utterance_id"] = name
        corpus.expect(None, name)


@fault("reuse")
def response_used_too_often(corpus: Any, h: Any) -> None:
    corpus.limits = Limits(reuse_floor=1, reuse_of_median=1)
    seats = [s for cut in corpus.cuts[:12] for s in h.ours(cut)["scene"]["seats"]]
    for n in range(len(seats) // 2):
        seats[2 * n]["rir_id"] = seats[2 * n + 1]["rir_id"] = f"worn-{n:02d}"
        corpus.expect(None, f"worn-{n:02d}")


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_is_found_by_its_owner_alone(name: str, corpus: Any, helpers: Any) -> None:
    owner, plant = FAULTS[name]
    plant(corpus, helpers)
    assert corpus.expected
    findings = corpus.audit().findings
    shown = findings.drop(columns=["hint", "limit"]).head(12).to_string()
    assert set(findings["check"]) == {owner}, shown
    told = [(one.session, f"{one.locus} {one.value}") for one in findings.itertuples(index=False)]
    for session, token in corpus.expected:
        assert any(
            (session is None or session == where) and token in what for where, what in told
        ), f"{session} {token} not in\n{shown}"
    if all(session is not None for session, _ in corpus.expected):
        assert {where for where, _ in told} == {session for session, _ in corpus.expected}


def test_there_are_forty_kinds_of_fault_and_every_check_owns_one() -> None:
    assert len(FAULTS) >= 40
    assert {owner for owner, _ in FAULTS.values()} == set(CHECKS) == set(all_checks())
    assert [check.number for check in all_checks().values()] == list(range(37))
