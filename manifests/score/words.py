"""WER and CER without speakers: all texts of a session in one order, against all texts.

The order is by start, then speaker. Under overlap it cannot be right for every system: words that
two people say at once are counted as errors when the other order was written, so this rate may be
*above* the speaker-attributed one and their difference negative (MOSS-Transcribe-Diarize reports
-2.69 points on AliMeeting). ORC-WER, which is free of that, is in `concatenated`.
"""

from __future__ import annotations

from talkover.manifests.score.edit import EditCounts, align, count_edits
from talkover.manifests.score.normalize import Unit
from talkover.manifests.score.sides import Pair, joined
from talkover.manifests.score.tally import Tally, edit_tally


def error_rate(pair: Pair, unit: Unit) -> Tally:
    """WER (or CER) of the session, speakers ignored."""
    reference = joined(pair.tokens("reference", unit))
    hypothesis = joined(pair.tokens("hypothesis", unit))
    return edit_tally(edits(reference, hypothesis))


def edits(reference: list[str], hypothesis: list[str]) -> EditCounts:
    """Counted edits between two token sequences."""
    if not reference or not hypothesis:
        return EditCounts(0, len(reference), len(hypothesis), len(reference))
    return count_edits(reference, hypothesis, align(reference, hypothesis))
