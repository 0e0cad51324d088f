"""What all journal rows have in common: their content as JSON, in the one spelling that is hashed."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

Json = dict[str, Any]


def canonical(data: Any) -> str:  # noqa: ANN401  any JSON
    """Return JSON in the one spelling that is hashed; keys stay in their order, which is that of the user's file.

    Half a surrogate pair, which is no text (a broken byte in what an instrument said), becomes U+FFFD: a result must
    not be lost because of the words that came with it.

    Raises:
        ValueError: NaN or infinity, which JSON does not know.
        TypeError: what JSON cannot hold.
    """
    return _HALVES.sub("\ufffd", json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False))


_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Event:
    """Base of all rows' contents."""

    kind: ClassVar[str]

    def body(self) -> Json:
        """Return the row's body as JSON data."""
        return asdict(self)
