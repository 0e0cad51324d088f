"""Lengths of time in words."""

from __future__ import annotations


def span_text(seconds: float) -> str:
    """Return a time for people, in the largest unit of which there are two.

    >>> span_text(90), span_text(14 * 3600)
    ('90 s', '14 h')
    """
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
