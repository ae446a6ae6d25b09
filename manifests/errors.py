"""Every error that talkover raises on purpose, as one short tree.

::

    TalkoverError
    ├── ManifestError        data on disk breaks the contract (file, place, field)
    ├── AudioError           audio that cannot be read or must not be used (file, reason)
    ├── ConfigurationError   a configuration, preset or command-line value that cannot work
    │   └── InfeasibleTarget a target that no plan over this corpus can meet, with the reason
    ├── RunError             a run that cannot go on or be resumed (disk, markers, workers)
    │   └── WorkerDied       a worker that died over an item, which others may outlive
    └── MissingExtraError    a feature whose optional dependency is not installed

Wrong *arguments* of a Python function stay `ValueError`. The command line prints the message of a
`TalkoverError` as one line and exits with 1; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

from pathlib import Path


class TalkoverError(Exception):
    """Base of all expected errors; its text is one line for a person."""


class ManifestError(TalkoverError):
    """Data that breaks the contract, with the place where it does.

    Args:
        reason: What was wrong, what was got and what is right.
        path: The file.
        line: Line number in the file, from 1.
        field: Dotted name of the field, such as ``supervisions[3].start``.
    """

    def __init__(
        self,
        reason: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        """Build the one-line message ``file:line: field: reason``."""
        self.reason, self.path, self.line, self.field = reason, path, line, field
        place = "" if path is None else str(path) + (f":{line}" if line is not None else "")
        super().__init__(": ".join(part for part in (place, field, reason) if part))

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the keyword arguments when a worker process sends the error home."""
        return _rebuild_manifest_error, (self.reason, self.path, self.line, self.field)


def _rebuild_manifest_error(
    reason: str, path: Path | str | None, line: int | None, field: str | None
) -> ManifestError:
    return ManifestError(reason, path=path, line=line, field=field)


class AudioError(TalkoverError):
    """Audio that cannot be decoded or must not be used.

    Args:
        path: The file.
        reason: One of a small set of phrases, such as ``silent`` or ``not decodable: …``.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        """Build the one-line message ``file: reason``."""
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")

    def __reduce__(self) -> tuple[object, ...]:
        """Keep both arguments when a worker process sends the error home."""
        return AudioError, (self.path, self.reason)


class ConfigurationError(TalkoverError):
    """A configuration, preset or option that cannot work, and what would."""


class InfeasibleTarget(ConfigurationError):
    """A target that no plan over this corpus can meet; the text says why."""


class RunError(TalkoverError):
    """A run that cannot go on or be resumed."""


class WorkerDied(RunError):
    """A worker process that ended while it worked on an item."""


class MissingExtraError(TalkoverError):
    """An optional dependency is missing.

    Args:
        package: What could not be imported.
        extra: The extra of talkover that brings it.
        purpose: What it was needed for.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        """Build a message whose command works in a clone."""
        self.package, self.extra, self.purpose = package, extra, purpose
        super().__init__(
            f'{purpose} needs {package}: pip install -c constraints.txt -e ".[{extra}]"'
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the arguments when a worker process sends the error home."""
        return MissingExtraError, (self.package, self.extra, self.purpose)
