"""The tables of an audit: every column with its dtype, unit and meaning.

Numbers that are not known are NaN, texts that are not known are missing (``pandas.NA`` reads as
NaN in a ``str`` column), and a yes or no that is not known is -1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

Frames = Mapping[str, Any]
"""DataFrames by name; their columns are checked against `TABLES` in tests, not by types."""

Dtype = Literal["str", "category", "int64", "float64", "int8", "object"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    dtype: Dtype
    unit: str
    meaning: str


def _columns(*rows: tuple[str, Dtype, str, str]) -> tuple[Column, ...]:
    return tuple(Column(*row) for row in rows)


_SESSION = (
    ("session_row", "int64", "", "number of the session in `sessions`"),
    ("session", "str", "", "id of the session"),
)

TABLES: Mapping[str, tuple[Column, ...]] = {
    "sessions": _columns(
        *_SESSION,  # type: ignore[arg-type]
        ("manifest", "str", "", "file that the session was read from, as it was given"),
        ("line", "int64", "", "line of the manifest, from 1; 0 where it has none"),
        ("split", "str", "", "split that the session belongs to"),
        ("origin", "str", "", "simulated, annotated or converted; missing for other people's"),
        ("recording", "str", "", "id of the recording"),
        ("offset", "float64", "s", "where the session begins in its recording"),
        (
            "is_whole",
            "int8",
            "",
            "1 if it is all of its recording, 0 for a window or some channels",
        ),
        ("duration", "float64", "s", "length as declared (of labels alone: their last end)"),
        ("sampling_rate", "float64", "Hz", "as declared"),
        ("num_samples", "float64", "", "as declared, of one channel"),
        ("num_channels", "float64", "", "as declared"),
        ("audio_path", "str", "", "below the folder of the manifest"),
        ("pcm_sha256", "str", "", "of the decoded samples, as declared"),
        ("num_supervisions", "int64", "", "utterances of turns"),
        ("num_turns", "int64", "", "turns: supervisions that share a turn id count once"),
        ("num_speakers", "int64", "", "speakers that are heard"),
        ("speech", "float64", "s", "time with at least one speaker"),
        ("overlap", "float64", "s", "time with two or more"),
        ("overlap_of_speech", "float64", "", "overlap over speech"),
        ("overlap_of_time", "float64", "", "overlap over the whole session"),
        ("silence_of_time", "float64", "", "time with no speaker over the whole session"),
        ("max_concurrent", "int64", "", "most speakers at once"),
        ("top_share", "float64", "", "largest share of a speaker in the sum of all speech"),
        ("talk_entropy", "float64", "", "entropy of the talk shares; 1 where all talk alike"),
        ("talk_gini", "float64", "", "Gini coefficient of the talk shares; 0 where all talk alike"),
        ("fto_count", "int64", "", "changes of floor"),
        ("fto_p10", "float64", "s", "floor-transfer offset, 10 % quantile"),
        ("fto_p50", "float64", "s", "floor-transfer offset, median"),
        ("fto_p90", "float64", "s", "floor-transfer offset, 90 % quantile"),
        ("pause_count", "int64", "", "pauses of the speaker who holds the floor"),
        ("pause_p50", "float64", "s", "median pause"),
        ("stated_overlap_of_speech", "float64", "", "as the session's statistics say"),
        ("stated_overlap_of_time", "float64", "", "as the session's statistics say"),
        ("stated_silence_of_time", "float64", "", "as the session's statistics say"),
        ("stated_max_concurrent", "float64", "", "as the session's statistics say"),
        ("stated_num_speakers", "float64", "", "as the session's statistics say"),
        ("stated_num_turns", "float64", "", "as the session's statistics say"),
        ("stated_top_share", "float64", "", "as the session's statistics say"),
        ("stated_fto_count", "float64", "", "as the session's statistics say"),
        ("stated_fto_p50", "float64", "s", "as the session's statistics say"),
        ("stated_pause_count", "float64", "", "as the session's statistics say"),
        ("stated_pause_p50", "float64", "s", "as the session's statistics say"),
        ("asked_overlap_of_speech", "float64", "", "target of the simulation"),
        ("asked_silence_of_time", "float64", "", "target of the simulation"),
        ("asked_duration", "float64", "s", "target of the simulation"),
        ("room_kind", "str", "", "shoebox, measured or dry"),
        ("room", "str", "", "id of the room"),
        ("t60_asked", "float64", "s", "reverberation time that was asked"),
        ("t60_measured", "float64", "s", "reverberation time of the responses"),
        ("snr_asked", "float64", "dB", "of the first noise"),
        ("snr_measured", "float64", "dB", "of the first noise, as declared"),
        ("clipped_samples", "float64", "", "as declared"),
        ("num_stems", "int64", "", "signals that sum to the mixture"),
        ("num_effects", "int64", "", "steps of the channel after the mix"),
        ("has_pre_channel", "int8", "", "1 if the mixture before the channel is kept, else 0"),
        ("tool", "str", "", "what made the session"),
        ("configuration_hash", "str", "", "of what made the session"),
        ("root_seed", "str", "", "of the run, as text"),
        ("session_index", "float64", "", "in the run"),
        ("plan_hash", "str", "", "of the session's plan"),
        ("licences", "str", "", "SPDX names, separated by spaces"),
        ("labelled", "float64", "s", "length of the stretches that may be scored (UEM)"),
        ("is_talkover", "int8", "", "1 if the line has talkover's own fields, else 0"),
    ),
    "turns": _columns(
        ("turn_row", "int64", "", "number of the row"),
        *_SESSION,  # type: ignore[arg-type]
        ("supervision", "str", "", "id of the supervision: one utterance of a turn"),
        ("turn", "str", "", "id of the turn that the supervision is part of"),
        ("speaker", "str", "", "speaker across the corpus"),
        ("speaker_local", "str", "", "S01, S02, … in the session"),
        ("role", "category", "", "turn, backchannel or interruption, as labelled"),
        ("recording", "str", "", "recording that the supervision names, if not the session's"),
        ("start", "float64", "s", "on the session's clock"),
        ("duration", "float64", "s", "of the supervision"),
        ("spoken", "float64", "s", "sum of its speech regions"),
        ("text", "str", "", "as written; missing where it is not known"),
        ("language", "category", "", "as labelled"),
        ("num_characters", "int64", "", "letters and digits of the text"),
        ("num_tokens", "int64", "", "parts of the text between spaces"),
        ("num_words", "int64", "", "words with times; -1 where there are none"),
        ("text_is_words", "int8", "", "1 if text and words have the same letters, 0 if not"),
        ("text_fault", "category", "", "what is illegal in the text; missing if nothing is"),
        ("level_dbfs", "float64", "dB", "active-speech level, as declared"),
        ("speed", "float64", "", "change of speed, as declared"),
    ),
    "words": _columns(
        ("turn_row", "int64", "", "number of the row in `turns`"),
        ("symbol", "category", "", "the word"),
        ("start", "float64", "s", "on the session's clock"),
        ("duration", "float64", "s", "of the word"),
        ("score", "float64", "", "as labelled"),
    ),
    "regions": _columns(
        ("turn_row", "int64", "", "number of the row in `turns`"),
        ("session_row", "int64", "", "number of the session in `sessions`"),
        ("start", "float64", "s", "where the speaker is heard, on the session's clock"),
        ("end", "float64", "s", "where the speaker stops"),
    ),
    "speakers": _columns(
        *_SESSION,  # type: ignore[arg-type]
        ("speaker", "str", "", "speaker across the corpus"),
        ("num_supervisions", "int64", "", "utterances in the session"),
        ("speech", "float64", "s", "time in which the speaker is heard"),
        ("talk_share", "float64", "", "share in the sum of all speakers' speech"),
    ),
    "gaps": _columns(
        *_SESSION,  # type: ignore[arg-type]
        ("time", "float64", "s", "start of the unit that came next"),
        ("kind", "category", "", "hold, switch, interruption or contained"),
        ("offset", "float64", "s", "start of that unit minus the end of the floor"),
        ("speaker", "str", "", "who held the floor"),
        ("next_speaker", "str", "", "who came next"),
    ),
    "overlaps": _columns(
        *_SESSION,  # type: ignore[arg-type]
        ("start", "float64", "s", "of a stretch with two or more speakers"),
        ("duration", "float64", "s", "of the stretch"),
        ("max_speakers", "int64", "", "most speakers at once in it"),
    ),
    "sources": _columns(
        *_SESSION,  # type: ignore[arg-type]
        ("kind", "category", "", "utterance, registration, room, rir, noise or event"),
        ("name", "str", "", "what was used: id or hash, with its corpus"),
        ("within", "str", "", "recording of an utterance, room of a response, owner of a clip"),
        ("locus", "str", "", "where in the session"),
        ("licence", "category", "", "as declared; missing where nothing is"),
        ("asked", "float64", "", "SNR in dB of a noise; distance in metres of a seat"),
        ("measured", "float64", "", "SNR in dB of a noise; DRR in dB of a seat"),
        ("speaker", "str", "", "who used it"),
    ),
    "files": _columns(
        *_SESSION,  # type: ignore[arg-type]
        ("role", "category", "", "audio, KIND_stem, TARGET_target, pre_channel or registration"),
        ("path", "str", "", "below the folder of the manifest"),
        ("sha256", "str", "", "of the file, as declared"),
        ("duration", "float64", "s", "as declared, of registration clips"),
    ),
    "events": _columns(
        *_SESSION,  # type: ignore[arg-type]
        ("event", "str", "", "id of the sound, music or noise that is labelled"),
        ("kind", "category", "", "sound, music or noise"),
        ("label", "category", "", "what it is"),
        ("start", "float64", "s", "on the session's clock"),
        ("duration", "float64", "s", "of the event"),
        ("snr_asked", "float64", "dB", "speech over the event"),
        ("snr_measured", "float64", "dB", "as declared"),
    ),
    "problems": _columns(
        ("manifest", "str", "", "the file"),
        ("line", "int64", "", "from 1; 0 where it has none"),
        ("session", "str", "", "id, where it could be read"),
        ("field", "str", "", "dotted name of the field"),
        ("kind", "category", "", "line (unreadable), labels (files disagree)"),
        ("reason", "str", "", "what is wrong"),
    ),
    "audio": _columns(
        ("session_row", "int64", "", "number of the session in `sessions`"),
        ("role", "category", "", "as in `files`"),
        ("path", "str", "", "as in `files`"),
        ("exists", "int8", "", "1 if the file is there"),
        ("fault", "str", "", "why it does not decode; missing if it does"),
        ("sampling_rate", "float64", "Hz", "of the file"),
        ("num_samples", "float64", "", "of the file"),
        ("num_channels", "float64", "", "of the file"),
        ("sha256", "str", "", "of the file"),
        ("pcm_sha256", "str", "", "of its samples"),
        ("peak", "float64", "", "largest sample, full scale = 1"),
        ("dc", "float64", "", "mean of the first channel, full scale = 1"),
        ("level_dbfs", "float64", "dB", "level of the 95 % frame of the first channel"),
        ("clipped", "float64", "", "samples at full scale in runs of three and more"),
        ("bandwidth", "float64", "Hz", "highest frequency with sound"),
        ("residual", "float64", "", "largest difference of mixture and sum of stems"),
        ("contour", "object", "dB", "level of each 0.1 s of the first channel, float16 bytes"),
    ),
}
"""Columns of each table by name."""

FINDING_COLUMNS = _columns(
    ("check", "str", "", "name of the check that owns the finding"),
    ("severity", "str", "", "error or warning"),
    ("session", "str", "", "id of the session; missing where it is of the whole corpus"),
    ("locus", "str", "", "where in the session, or what in the corpus"),
    ("value", "str", "", "what was found"),
    ("limit", "str", "", "what would be right"),
    ("hint", "str", "", "what to do"),
    ("time", "float64", "s", "where in the session, to listen; NaN where there is no such place"),
)

Lists = dict[str, dict[str, list[Any]]]
"""Values of tables while they are being read: table, column, rows."""

_ARROW = {
    "str": pa.string(),
    "category": pa.dictionary(pa.int32(), pa.string()),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "int8": pa.int8(),
    "object": pa.binary(),
}


def schema_of(table: str) -> pa.Schema:
    """The Arrow schema of a table, as it stands in Parquet."""
    return pa.schema([(column.name, _ARROW[column.dtype]) for column in TABLES[table]])


def arrow_table(table: str, values: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Columns of values as Arrow; every column of the table must be there."""
    arrays = []
    for field in schema_of(table):
        array = values[field.name]
        if pa.types.is_dictionary(field.type):
            plain = pa.array(array, pa.string(), from_pandas=True)
            arrays.append(plain.dictionary_encode())
        else:
            arrays.append(pa.array(array, field.type, from_pandas=True))
    return pa.table(arrays, schema=schema_of(table))


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Arrow as a DataFrame with the documented dtypes."""
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=False)
    for field in table.schema:  # an empty column has no dtype of its own
        if pa.types.is_string(field.type) and frame[field.name].dtype != "str":
            frame[field.name] = frame[field.name].astype("str")
    return frame


def rows_of(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table as named tuples, whose fields no type checker knows."""
    yield from frame.itertuples(index=False)


def groups_of(frame: pd.DataFrame, key: str) -> Iterator[tuple[int, Any]]:
    """The rows of each value of a column of whole numbers, in order of the number."""
    for value, own in frame.groupby(key, sort=True):
        yield int(str(value)), own


def tables_markdown() -> str:
    """The tables as Markdown, for the documents."""
    parts = []
    for name, columns in {**TABLES, "findings": FINDING_COLUMNS}.items():
        parts.append(
            f"### {name}\n\n| column | dtype | unit | meaning |\n| --- | --- | --- | --- |"
        )
        parts += [
            f"| `{c.name}` | {c.dtype} | {c.unit} | {c.meaning} |".replace("|  |", "| |")
            for c in columns
        ]
        parts.append("")
    return "\n".join(parts)
