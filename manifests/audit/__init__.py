"""What is in a corpus, what is wrong with it, what leaked: tables, findings, one page.

`Audit.from_manifests` opens sessions of talkover, plain Lhotse cuts and label files with or without
audio; `talkover.manifests.audit.registry` has the table of checks and how to add one.
"""

from talkover.manifests.errors import MissingExtraError

try:
    import pandas  # noqa: F401
    import pyarrow  # noqa: F401
except ImportError as error:  # pragma: no cover
    raise MissingExtraError(error.name or "pandas", "audit", "an audit") from error

from talkover.manifests.audit.audit import Audit
from talkover.manifests.audit.findings import Limits, Result, found, nothing
from talkover.manifests.audit.registry import CHECKS, Check, Context, all_checks

__all__ = [
    "CHECKS",
    "Audit",
    "Check",
    "Context",
    "Limits",
    "Result",
    "all_checks",
    "found",
    "nothing",
]
