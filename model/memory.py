"""Whether an error is the want of memory."""

from __future__ import annotations

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice, on a GPU or here."""
    is_ours = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return is_ours or "can't allocate memory" in str(error)
