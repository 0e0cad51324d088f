"""What a model took as help: physics and earlier campaigns, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def hint_lines(choice: Mapping[str, Any]) -> list[str]:
    """Return a line on each piece of physics and each earlier campaign: whether a model uses it, and on what evidence.

    Args:
        choice: of the model, as in the diagnostics of a proposal.
    """
    lines = []
    for name, told in (choice.get("hints") or {}).items():
        what = f"physics '{name}'" if told["kind"] == "physics" else f"earlier campaign '{name}'"
        evidence = "" if told.get("evidence") is None else f": evidence {told['evidence']:+.1f}"
        if not told["used"]:
            lines.append(f"{what} is not used{evidence} ({told['why']})")
        elif told["role"] == "feature":
            lines.append(f"{what} is used as a further input{evidence} ({told['why']})")
        else:
            weight = f"{told['weight']:.2f} ± {told['weight_sd']:.2f}"
            lines.append(f"{what} is used with weight {weight}{evidence} ({told['why']})")
        lines += [f"  {note}" for note in told.get("notes", ())]
    return lines
