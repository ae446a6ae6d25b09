"""The audit of a corpus: its tables, its findings, its page."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from talkover.manifests.audit.annotated import annotation_tables
from talkover.manifests.audit.audio_facts import Measure, SessionFiles, measure
from talkover.manifests.audit.beside import disagreements
from talkover.manifests.audit.columns import FINDING_COLUMNS, groups_of, schema_of, to_frame
from talkover.manifests.audit.comparison import compare_corpora
from talkover.manifests.audit.findings import SEVERITIES, Limits
from talkover.manifests.audit.inputs import Part, parts_of
from talkover.manifests.audit.references import Reference, read_reference
from talkover.manifests.audit.registry import NEEDS, Check, Context, Need, all_checks
from talkover.manifests.audit.split_table import split_table
from talkover.manifests.audit.tables import Tables, save
from talkover.manifests.audit.voices import read_voices
from talkover.manifests.audit.work import PartDone, PartWork, Ran, run_check, table_of_checks
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.jobs import Executor, make_executor

_SESSIONS_AN_ITEM = 8
"""Sessions whose audio is measured as one piece of work."""

Progress = Callable[[float, float], None]
"""Is told of seconds of audio that were read just now, and of those of all sessions."""


class Audit:
    """Tables, findings and pictures of a corpus; made by `from_manifests` or `from_tables`.

    The tables are read when they are asked for; `talkover.manifests.audit.columns` says what is in
    them. ``findings`` has a row a finding, ``checks`` a row a check with its status: ``passed``,
    ``failed``, ``not applicable`` (the corpus has nothing of the kind) or ``skipped`` (something
    that the check needs was not given; ``reason`` says what).
    """

    def __init__(
        self,
        tables: Tables,
        findings: pd.DataFrame,
        checks: pd.DataFrame,
        *,
        reference: Reference | None = None,
    ) -> None:
        """Put the parts together; use `from_manifests`."""
        self._tables, self.findings, self.checks = tables, findings, checks
        self.reference = reference
        self._keep: Any = None  # a folder that goes when the audit goes

    @classmethod
    def from_manifests(
        cls,
        paths: Path | str | Iterable[Path | str] = (),
        *,
        splits: Mapping[str, Path | str] | None = None,
        embeddings: Path | str | pd.DataFrame | None = None,
        reference: Path | str | Reference | None = None,
        audio: bool = True,
        limits: Limits | None = None,
        checks: Sequence[str] | None = None,
        jobs: int = 1,
        executor: str | Executor = "processes",
        cache: Path | str | None = None,
        progress: Progress | None = None,
    ) -> Audit:
        """Read, measure and check a corpus, whoever made it.

        Args:
            paths: Folders or files: ours or plain Lhotse cuts, label files, RTTM beside audio, a
                folder of splits.
            splits: More of them, by the name of their split. Without it a session belongs to the
                split that it names, or to the folder of a folder of splits.
            embeddings: Parquet of voice vectors, see `talkover.manifests.audit.voices`.
            reference: Labels of a real corpus that turn-taking is held against.
            audio: Also read the audio files.
            limits: Where the checks draw the line.
            checks: Names of the checks to run; all if None.
            jobs: Workers.
            executor: Where they run, see `talkover.manifests.jobs`.
            cache: Folder in which tables are kept as Parquet by the hash of what they are of;
                None keeps them until the audit is gone.
            progress: Is told of seconds of audio that were read.

        Raises:
            ManifestError: If there is nothing to read. What is wrong inside is a finding.
            ConfigurationError: If a check is not known.
        """
        given = [paths] if isinstance(paths, str | Path) else list(paths)
        parts = parts_of(given, splits)
        chosen = _chosen(checks)
        real, voices = read_reference(reference), read_voices(embeddings)
        limits = Limits() if limits is None else limits
        keep = None if cache is not None else tempfile.TemporaryDirectory(prefix="talkover-audit-")
        folder = Path(cache if keep is None else keep.name)  # type: ignore[arg-type]
        work = PartWork(cache=folder, limits=limits, checks=tuple(c.name for c in chosen))
        done = _parts_done(parts, work, executor, jobs)
        tables = _merged(parts, done)
        if audio:
            workers = make_executor(executor, jobs)
            tables.put("audio", _measure(tables, workers, None if keep else folder, progress))
        made = cls._checked(
            tables,
            chosen,
            limits,
            [ran for one in done for ran in one.ran],
            reference=real,
            voices=voices,
            has_audio=audio,
        )
        made._keep = keep
        return made

    @classmethod
    def from_tables(
        cls,
        folder: Path | str,
        *,
        embeddings: Path | str | pd.DataFrame | None = None,
        reference: Path | str | Reference | None = None,
        limits: Limits | None = None,
        checks: Sequence[str] | None = None,
    ) -> Audit:
        """Check a corpus by the tables that `save` wrote: no manifest and no audio is opened.

        Raises:
            ManifestError: If the folder holds no tables.
        """
        folder = Path(folder)
        if not (folder / "sessions.parquet").is_file():
            raise ManifestError("holds no tables: write them with Audit.save", path=folder)
        tables, limits = Tables([folder]), limits or Limits()
        chosen = _chosen(checks)
        context = Context(tables=tables, limits=limits)
        ran = [run_check(one, context) for one in chosen if one.scope == "part"]
        tables.forget("words")  # the largest table, which no check of the whole corpus reads
        return cls._checked(
            tables,
            chosen,
            limits,
            ran,
            reference=read_reference(reference),
            voices=read_voices(embeddings),
            has_audio=(folder / "audio.parquet").is_file(),
        )

    @classmethod
    def _checked(
        cls,
        tables: Tables,
        chosen: Sequence[Check],
        limits: Limits,
        ran: list[Ran],
        *,
        reference: Reference | None,
        voices: pd.DataFrame | None,
        has_audio: bool,
    ) -> Audit:
        """Run the checks of the whole corpus and sort what all of them found."""
        context = Context(tables=tables, limits=limits, voices=voices, reference=reference)
        lacks: dict[Need, bool] = {
            "audio": not has_audio,
            "voices": voices is None,
            "reference": reference is None,
            "splits": not tables["sessions"]["split"].notna().any(),
        }
        missing: dict[str, str] = {}
        for check in chosen:
            reasons = [NEEDS[need] for need in check.needs if lacks[need]]
            if reasons:
                missing[check.name] = "; ".join(reasons)
            elif check.scope == "corpus":
                ran.append(run_check(check, context))
        by_name: dict[str, list[Ran]] = {check.name: [] for check in chosen}
        for one in ran:
            by_name[one.check].append(one)
        findings = _sorted([one.findings for one in ran], [check.name for check in chosen])
        return cls(tables, findings, table_of_checks(chosen, by_name, missing), reference=reference)

    @property
    def sessions(self) -> pd.DataFrame:
        """A row a session."""
        return self._tables["sessions"]

    @property
    def turns(self) -> pd.DataFrame:
        """A row a supervision: one utterance of a turn."""
        return self._tables["turns"]

    @property
    def words(self) -> pd.DataFrame:
        """A row a word with a time."""
        return self._tables["words"]

    @property
    def regions(self) -> pd.DataFrame:
        """A row a speech region."""
        return self._tables["regions"]

    @property
    def speakers(self) -> pd.DataFrame:
        """A row a speaker of a session."""
        return self._tables["speakers"]

    @property
    def gaps(self) -> pd.DataFrame:
        """A row a step of the floor: holds, switches, interruptions and what lies within a turn."""
        return self._tables["gaps"]

    @property
    def overlaps(self) -> pd.DataFrame:
        """A row a stretch with two and more speakers."""
        return self._tables["overlaps"]

    @property
    def sources(self) -> pd.DataFrame:
        """A row a use of something: an utterance, a response, a noise."""
        return self._tables["sources"]

    @property
    def splits(self) -> pd.DataFrame:
        """A row a split, with what it holds and shares; empty where there are no splits."""
        return split_table(self._tables)

    @property
    def annotation(self) -> dict[str, pd.DataFrame]:
        """What machines labelled, by title: segments, cuts, labels, confidence, backends, flags.

        Empty where nothing was annotated, or the manifests are not there any more.
        """
        return annotation_tables(self._tables["sessions"])

    @property
    def tables(self) -> Tables:
        """All tables by name, ``files``, ``audio`` and ``problems`` too."""
        return self._tables

    @property
    def plot(self) -> Any:
        """The pictures, see `talkover.manifests.audit.plots.Plots`."""
        from talkover.manifests.audit.plots import Plots

        return Plots(self)

    def worst(self) -> str | None:
        """The gravest severity that was found, or None."""
        found = set(self.findings["severity"])
        return next((one for one in reversed(SEVERITIES) if one in found), None)

    def compare(self, other: Audit) -> pd.DataFrame:
        """Figures of this corpus and of another side by side."""
        return compare_corpora(self._tables, other._tables)

    def save(self, folder: Path | str) -> None:
        """Write all tables as Parquet, for `from_tables` and for other tools."""
        folder = Path(folder)
        names = [name for name in self._tables if name != "audio" or len(self._tables["audio"])]
        for name in names:
            frame = self._tables[name]
            table = pa.Table.from_pandas(frame, schema_of(name), preserve_index=False)
            save({name: table}, folder)

    def to_html(self, path: Path | str, *, audio: bool = False) -> Path:
        """Write one page that needs nothing else: no network, no script, no other file.

        Args:
            path: The file.
            audio: Put short players of the worst findings in it.
        """
        from talkover.manifests.audit.page import write_page

        return write_page(self, Path(path), audio=audio)

    def _repr_html_(self) -> str:
        from talkover.manifests.audit.page import card

        return card(self)


def _chosen(names: Sequence[str] | None) -> list[Check]:
    known = all_checks()
    unknown = sorted(set(names or ()) - known.keys())
    if unknown:
        raise ConfigurationError(f"unknown check {unknown[0]!r}: choose some of {', '.join(known)}")
    return [check for check in known.values() if names is None or check.name in names]


def _parts_done(
    parts: Sequence[Part], work: PartWork, executor: str | Executor, jobs: int
) -> list[PartDone]:
    """Every part, in order, whoever was ready first."""
    workers = make_executor(executor if len(parts) > 1 else "serial", jobs)
    done = dict(workers.run(work, parts))
    return [done[index] for index in range(len(parts))]


def _merged(parts: Sequence[Part], done: Sequence[PartDone]) -> Tables:
    """The tables of all parts, with what the files beside them say."""
    tables = Tables([one.folder for one in done], _lines_ahead(parts, done))
    beside = disagreements(parts, tables["sessions"])
    if len(beside):
        tables.put("problems", pd.concat([tables["problems"], beside], ignore_index=True))
    return tables


def _lines_ahead(parts: Sequence[Part], done: Sequence[PartDone]) -> list[int]:
    """Lines of the same manifest before each part."""
    ahead: dict[Path, int] = {}
    result = []
    for part, one in zip(parts, done, strict=True):
        count = 0 if part.is_first else ahead.get(part.path, 0)
        result.append(count)
        ahead[part.path] = count + one.lines
    return result


def _measure(
    tables: Tables, workers: Executor, cache: Path | None, progress: Progress | None
) -> pd.DataFrame:
    """The table ``audio``: every file of every session, in the order of sessions."""
    sessions, files = tables["sessions"], tables["files"]
    folders = sessions["manifest"].map(lambda name: Path(name).parent)
    groups = [
        SessionFiles(
            session_row=row,
            folder=folders[row],
            files=tuple(zip(own["role"].astype("str"), own["path"].astype("str"), strict=True)),
        )
        for row, own in groups_of(files, "session_row")
    ]
    items = [
        tuple(groups[n : n + _SESSIONS_AN_ITEM]) for n in range(0, len(groups), _SESSIONS_AN_ITEM)
    ]
    total = float(sessions["duration"].sum())
    results: list[pa.Table | None] = [None] * len(items)
    for index, table in workers.run(Measure(cache=cache), items):
        results[index] = table
        if progress is not None:
            rows = [group.session_row for group in items[index]]
            progress(float(sessions["duration"].loc[rows].sum()), total)
    whole = [measure(()), *(table for table in results if table is not None)]
    return to_frame(pa.concat_tables(whole).unify_dictionaries())


def _sorted(frames: Sequence[pd.DataFrame], order: Sequence[str]) -> pd.DataFrame:
    """All findings: errors first, then by check, session and place, however they were found."""
    some = [frame for frame in frames if len(frame)]
    if not some:
        columns: dict[str, Any] = {
            c.name: pd.Series([], dtype="float64" if c.dtype == "float64" else "str")
            for c in FINDING_COLUMNS
        }
        return pd.DataFrame(columns)
    whole = pd.concat(some, ignore_index=True)
    ranks = whole["severity"].map({"error": 0, "warning": 1})
    places = whole["check"].map({name: n for n, name in enumerate(order)})
    keyed = whole.assign(_rank=ranks, _place=places)
    keys = ["_rank", "_place", "session", "time", "locus", "value"]
    return (
        keyed.sort_values(keys, kind="stable")
        .drop(columns=["_rank", "_place"])
        .reset_index(drop=True)
    )
