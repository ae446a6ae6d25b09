"""Supervisions of a cut on their way into the columns: turns, words, regions, source utterances."""

from __future__ import annotations

from collections.abc import Iterator

from talkover.manifests.audit.cells import NAN, Json, maybe, number_of
from talkover.manifests.audit.columns import Lists
from talkover.manifests.audit.text_facts import letters, text_fault
from talkover.manifests.label_json import aligned_words, placed_supervisions
from talkover.manifests.schema import TIME_DIGITS


class CutTurns:
    """The supervisions of one cut.

    Args:
        cut: The line.
        lists: Where rows go.
        row: Number of the session.
        recording: Id of the cut's recording, if it has one.
    """

    def __init__(self, cut: Json, lists: Lists, row: int, recording: object) -> None:
        """Note what rows are made of."""
        self.cut, self.lists, self.row, self.recording = cut, lists, row, recording
        self.session: str = cut["id"]

    def add(self) -> int:
        """All supervisions; gives how many there are."""
        count = 0
        for row, shift, word_shift in self._supervisions():
            count += 1
            custom = row.get("custom")
            ours = custom.get("talkover") if isinstance(custom, dict) else None
            start = number_of(row["start"]) + shift
            duration = number_of(row["duration"])
            self._add_turn(row, ours or {}, start, duration, word_shift)
        return count

    def _supervisions(self) -> Iterator[tuple[Json, float, float]]:
        cut = self.cut
        if "tracks" in cut or cut.get("start"):
            for placed in placed_supervisions(cut):
                yield placed.row, placed.shift, placed.word_shift
            return
        for row in cut["supervisions"]:
            yield row, 0.0, 0.0

    def _add_turn(
        self, row: Json, ours: Json, start: float, duration: float, word_shift: float
    ) -> None:
        turns = self.lists["turns"]  # written out column by column, since it runs once a turn
        turn_row = len(turns["turn_row"])
        name, speaker, language = row["id"], row.get("speaker"), row.get("language")
        text = row.get("text")
        recording = row.get("recording_id")
        said = letters(text) if text is not None else ""
        words, symbols = self._add_words(row, turn_row, word_shift)
        spoken = self._add_regions(ours, turn_row, start, duration)
        turns["turn_row"].append(turn_row)
        turns["session_row"].append(self.row)
        turns["session"].append(self.session)
        turns["supervision"].append(name)
        turns["turn"].append(ours.get("turn_id", name))
        turns["speaker"].append(speaker)
        turns["speaker_local"].append(ours.get("speaker_local"))
        turns["role"].append(ours.get("role"))
        turns["recording"].append(
            recording if self.recording is not None and recording != self.recording else None
        )
        turns["start"].append(start)
        turns["duration"].append(duration)
        turns["spoken"].append(spoken)
        turns["text"].append(text)
        turns["language"].append(language)
        turns["num_characters"].append(len(said))
        turns["num_tokens"].append(0 if text is None else len(text.split()))
        turns["num_words"].append(words)
        agree = -1 if text is None or words < 0 else int(letters(symbols) == said)
        turns["text_is_words"].append(agree)
        turns["text_fault"].append(None if text is None else text_fault(text, said, language))
        turns["level_dbfs"].append(maybe(ours.get("level_dbfs")))
        turns["speed"].append(maybe(ours.get("speed")))
        source = ours.get("source")
        if source:
            corpus = source["corpus"]
            sources = self.lists["sources"]
            sources["session_row"].append(self.row)
            sources["session"].append(self.session)
            sources["kind"].append("utterance")
            sources["name"].append(f"{corpus}/{source['utterance_id']}")
            sources["within"].append(f"{corpus}/{source['recording_id']}")
            sources["locus"].append(name)
            sources["licence"].append(source.get("licence"))
            sources["asked"].append(NAN)
            sources["measured"].append(NAN)
            sources["speaker"].append(speaker)

    def _add_words(self, row: Json, turn_row: int, shift: float) -> tuple[int, str]:
        """Number of words with times, -1 for none, and all their symbols in one."""
        alignment = row.get("alignment")
        items = alignment.get("word") if alignment else None
        if items is None:
            return -1, ""
        words = self.lists["words"]
        if items and isinstance(items[0], dict):  # Lhotse before 1.8
            timed = aligned_words(row, 0.0) or ()
            items = [[w.symbol, w.start, round(w.end - w.start, TIME_DIGITS), s] for w, s in timed]
        symbols = [str(item[0]) for item in items]
        words["turn_row"].extend([turn_row] * len(items))
        words["symbol"].extend(symbols)
        words["start"].extend([number_of(item[1]) + shift for item in items])
        words["duration"].extend([number_of(item[2]) for item in items])
        words["score"].extend([maybe(item[3]) if len(item) > 3 else NAN for item in items])
        return len(items), "".join(symbols)

    def _add_regions(self, ours: Json, turn_row: int, start: float, duration: float) -> float:
        """Where the speaker is heard; the whole supervision where nothing says so."""
        regions = self.lists["regions"]
        spans = ours.get("regions")
        if spans is None:
            pairs = [(start, start + duration)] if duration > 0 else []
        else:
            pairs = []
            for span in spans:
                first, long = number_of(span["start"]), number_of(span["duration"])
                if long > 0:
                    pairs.append((first, first + long))
        spoken = 0.0
        for first, last in pairs:
            regions["turn_row"].append(turn_row)
            regions["session_row"].append(self.row)
            regions["start"].append(first)
            regions["end"].append(last)
            spoken += last - first
        return spoken
