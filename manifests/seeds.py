"""One random generator per named decision, so that adding a decision changes no other.

A generator depends on (root seed, session index, decision name) alone: never on a process id, the
clock, the number of workers or the order of work. The idea of one generator per named decision is
MMS-MSG's (Cord-Landwehr et al. 2022, `rng.py`); the key is a `numpy.random.SeedSequence`.
"""

from __future__ import annotations

import hashlib

import numpy as np

SESSION_OF_CORPUS = 2**32 - 1
"""Session index of decisions that concern a whole run, not one session."""


def generator(seed: int, session: int, decision: str) -> np.random.Generator:
    """A generator that only these three values determine.

    Args:
        seed: Root seed of the run, 0 or more.
        session: Index of the session, or `SESSION_OF_CORPUS` for decisions over the whole run.
        decision: What is decided, such as ``"room"`` or ``"turns/offsets"``.

    Raises:
        ValueError: If seed or session is negative.

    >>> generator(7, 0, "room").random() == generator(7, 0, "room").random()
    True
    >>> generator(7, 0, "room").random() == generator(7, 0, "noise").random()
    False
    """
    if seed < 0 or session < 0:
        raise ValueError(f"seed and session must be 0 or more, got {seed} and {session}")
    digest = hashlib.sha256(decision.encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, session, *words])))


def content_id(*parts: str, length: int = 12) -> str:
    """A short name that depends on nothing but the given text.

    Args:
        parts: What the name stands for; the boundaries between parts count.
        length: Number of hexadecimal digits, at most 64.

    >>> content_id("7", "0") == content_id("70", "")
    False
    """
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:length]
