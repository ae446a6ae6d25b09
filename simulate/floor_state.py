"""The state of a walk: who speaks until when, and how much overlap and silence there has been."""

from __future__ import annotations

from talkover.simulate.turns import Kind


class FloorState:
    """What has been placed so far; units come by start. All times in seconds.

    Args:
        num_speakers: Speakers, numbered from 0.
        begin: When the first unit may start.
    """

    def __init__(self, num_speakers: int, begin: float) -> None:
        """Nobody has spoken."""
        self.begin = begin
        self.ends = [float("-inf")] * num_speakers
        """When each speaker's latest unit ends."""
        self.spoken = [0.0] * num_speakers
        """Seconds of speech of each speaker."""
        self.missing = set(range(num_speakers))
        """Who has not spoken yet."""
        self.speaker = self.before = -1
        """Who holds the floor, and who held it before."""
        self.kind: Kind = "switch"
        """How the floor was taken."""
        self.start = self.end = begin
        """Of the unit that holds the floor."""
        self.last_start = self.second_end = begin
        """Latest start of any unit, and second-latest end."""
        self.overlap = self.silence = 0.0
        """Seconds with two or more, and with no speakers, until `end`."""

    def place(self, speaker: int, start: float, end: float, pauses: float = 0.0) -> None:
        """Account for a unit; all earlier units start no later.

        Time in which exactly one spoke becomes overlap: from the second-latest end to the latest.
        """
        self.overlap += max(0.0, min(end, self.end) - max(start, self.second_end))
        if end > self.end:
            self.second_end = self.end
        elif end > self.second_end:
            self.second_end = end
        self.ends[speaker] = end
        self.spoken[speaker] += end - start - pauses
        self.last_start = start
        self.missing.discard(speaker)

    def take(self, speaker: int, kind: Kind, start: float, end: float, pauses: float) -> None:
        """Account for a unit that takes the floor, with seconds of silence inside it."""
        self.silence += max(0.0, start - self.end) + pauses
        self.place(speaker, start, end, pauses)
        if kind != "hold":
            self.before = self.speaker
        self.speaker, self.kind, self.start = speaker, kind, start
        self.end = max(self.end, end)

    @property
    def elapsed(self) -> float:
        """Seconds from the first start to the floor's end."""
        return self.end - self.begin

    @property
    def speech(self) -> float:
        """Seconds with one or more speakers, until `end`."""
        return self.end - self.begin - self.silence

    def free(self, start: float, apart: float, besides: set[int]) -> list[int]:
        """Speakers other than the holder who are silent at `start` and were so for a moment.

        Args:
            start: When they would begin.
            apart: Seconds of that moment.
            besides: Speakers who are not asked.
        """
        bound = start - apart
        holder = self.speaker
        return [
            k
            for k, end in enumerate(self.ends)
            if end <= bound and k != holder and k not in besides
        ]

    def active(self, time: float) -> int:
        """How many speak at a time no earlier than `last_start`."""
        return sum(1 for end in self.ends if end > time)

    def room_from(self, most: int) -> float:
        """When one more may speak without exceeding the most concurrent speakers."""
        if most > len(self.ends):
            return float("-inf")
        return sorted(self.ends, reverse=True)[most - 1]
