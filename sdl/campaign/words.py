"""What names and seeds may look like in campaign and lab files."""

from __future__ import annotations

import re

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
"""Name of a campaign, lab, instrument, place, container, consumable or source."""

NAME_RULE = "letters, digits, '.', '_' and '-'"

WORD = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\Z")
"""Name of a parameter or an outcome."""

WORD_RULE = "letters, digits and '_', not beginning with a digit"

LARGEST_SEED = 2**53
"""Above it a number in JSON may lose digits."""
