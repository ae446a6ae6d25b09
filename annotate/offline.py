"""No network: what must be said to libraries before they are imported."""

from __future__ import annotations

import os

SWITCHES = {
    "PYANNOTE_METRICS_ENABLED": "0",  # pyannote.audio 4 reports its use otherwise
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}
"""Environment variables, read by the libraries when they are imported."""


def go_offline() -> None:
    """Set the switches; call it before anything heavy is imported. Calling it again is harmless."""
    os.environ.update(SWITCHES)
