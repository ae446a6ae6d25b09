"""What people read: SubRip subtitles, and a JSON document per recording."""

from __future__ import annotations

import json

from pydantic import JsonValue

from talkover.manifests.schema import Session, Supervision


def to_srt(session: Session) -> str:
    """SubRip: one subtitle a supervision that has words, ``S01: text``.

    Names are the local ones. White space of a text becomes single spaces, since an empty line would
    end the subtitle.
    """
    rows = [row for row in session.supervisions if (row.text or "").strip()]
    return "\n".join(_subtitle(number, row) for number, row in enumerate(rows, start=1))


def to_json(session: Session) -> str:
    """Id, length, speakers with their talk time, and turns; times in seconds.

    Words whose time was shared out by letters are not ``aligned``.
    """
    talk: dict[str, float] = {}
    for row in session.supervisions:
        heard = sum(region.duration for region in row.regions)
        talk[row.speaker_local] = talk.get(row.speaker_local, 0.0) + heard
    document: dict[str, JsonValue] = {
        "id": session.id,
        "audio": session.audio.path,
        "duration": session.audio.duration,
        **_flags(session),
        "speakers": [{"speaker": name, "speech": round(talk[name], 3)} for name in sorted(talk)],
        "turns": [_turn(row) for row in session.supervisions],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _flags(session: Session) -> dict[str, JsonValue]:
    """What the backend says of itself; nothing in a session where nobody speaks."""
    claims = [row.claim for row in session.supervisions if row.claim is not None]
    if not claims:
        return {}
    claim = claims[0]
    return {
        "truncated": claim.truncated,
        "looped": claim.looped,
        "coverage": claim.coverage,
    }


def _turn(row: Supervision) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {
        "speaker": row.speaker_local,
        "start": round(row.start, 3),
        "end": round(row.end, 3),
        "text": row.text or "",
    }
    if row.chunk is not None:
        found |= {"chunk": row.chunk, "chunk_speaker": row.chunk_speaker}
    if row.words is not None:
        found["words"] = [
            {
                "word": word.symbol,
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "aligned": word.score is not None,
            }
            for word in row.words
        ]
    return found


def _subtitle(number: int, row: Supervision) -> str:
    text = " ".join((row.text or "").split()).replace("-->", "→")
    return f"{number}\n{srt_time(row.start)} --> {srt_time(row.end)}\n{row.speaker_local}: {text}\n"


def srt_time(seconds: float) -> str:
    """A time as SubRip writes it.

    >>> srt_time(3661.0049)
    '01:01:01,005'
    """
    total = round(seconds * 1000)
    rest, thousandths = divmod(total, 1000)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d},{thousandths:03d}"
