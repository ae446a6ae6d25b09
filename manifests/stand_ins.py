"""Legal stand-ins for values that the schema forbids, so that the rest of a line can be checked.

A validator that stops at the schema would hide, behind one illegal id, every turn that lies outside
its session. So each forbidden *value* is replaced by the nearest one that is allowed, and the rules
look at the result. What is missing or of a wrong type has no stand-in.
"""

from __future__ import annotations

import copy
import re
from typing import Any

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_QUOTED = re.compile(r"'([^']*)'")
_HASH = "0" * 64


def with_stand_ins(raw: Any, faults: list[Any]) -> Any | None:
    """A copy of JSON values in which every fault is mended, or None where one cannot be.

    Args:
        raw: The values.
        faults: Pydantic's error details over them, with context.
    """
    mended = copy.deepcopy(raw)
    for fault in faults:
        *place, last = fault["loc"]
        holder = mended
        try:
            for key in place:
                holder = holder[key]
            if fault["type"] == "extra_forbidden":
                del holder[last]
            else:
                holder[last] = _stand_in(fault)
        except (KeyError, IndexError, TypeError):
            return None
    return mended


def _stand_in(fault: Any) -> Any:
    """The nearest allowed value.

    Raises:
        KeyError: If the fault is of a kind that has none.
    """
    value, context = fault["input"], fault.get("ctx", {})
    bounds = {"greater_than_equal": "ge", "less_than_equal": "le"}
    if fault["type"] in bounds:
        return context[bounds[fault["type"]]]
    if fault["type"] == "greater_than":
        return context["gt"] + 1
    if fault["type"] == "literal_error":
        return _QUOTED.findall(context["expected"])[0]
    if fault["type"] == "string_too_short":
        return "_"
    if fault["type"] == "string_pattern_mismatch":
        return _HASH if "{64}" in context["pattern"] else "_" + _UNSAFE.sub("_", value)[:100]
    raise KeyError(fault["type"])
