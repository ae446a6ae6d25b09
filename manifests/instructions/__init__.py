"""Instruction rows: a stretch of a session, what is asked of it, and the right answer.

They lie in ``instructions.jsonl`` beside ``cuts.jsonl``; see `rows` for the contract, `stamps` and
`statements` for the two forms of text that carry times.
"""

from talkover.manifests.instructions.rows import (
    INSTRUCTIONS_FILE,
    TASKS,
    InstructionRow,
    Task,
    check_rows,
    read_rows,
    write_rows,
)

__all__ = [
    "INSTRUCTIONS_FILE",
    "TASKS",
    "InstructionRow",
    "Task",
    "check_rows",
    "read_rows",
    "write_rows",
]
