"""Numbers, units and times as people read them."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from sdl.units import DIMENSIONLESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdl.objective import Estimate

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LARGE = 1e5
_SMALL = 1e-4
_MOST_DECIMALS = 8
_SHOWN_UNITS = {"degC": "°C", "degF": "°F", "delta_degC": "°C", "percent": "%"}


def unit_text(unit: str) -> str:
    """Return a unit as it is printed: `degC` → `°C`, `W/m**2` → `W/m²`, dimensionless → nothing.

    >>> unit_text("mS/cm"), unit_text("dimensionless")
    ('mS/cm', '')
    """
    if unit in {DIMENSIONLESS, ""}:
        return ""
    shown = _SHOWN_UNITS.get(unit, unit)
    head, *powers = shown.replace("^", "**").split("**")
    for power in powers:
        digits = len(power) - len(power.lstrip("-0123456789 "))
        head += power[:digits].strip().translate(_SUPERSCRIPT) + power[digits:]
    return head.replace("*", "·")


def with_unit(text: str, unit: str) -> str:
    """Return `text` followed by the unit, if there is one."""
    shown = unit_text(unit)
    return f"{text}\N{NO-BREAK SPACE}{shown}" if shown else text


def number(value: float, digits: int = 5) -> str:
    """Return a number with so many significant digits, with a true minus sign and powers of ten written out.

    >>> number(-0.00001234), number(1050.0)
    ('−1.234×10⁻⁵', '1050')
    """
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value).replace("-", "−").replace("inf", "∞")
    if _SMALL <= abs(value) < _LARGE:
        text = f"{value:.{digits}g}"
        if "e" not in text:
            return text.replace("-", "−")
        return f"{float(text):.0f}".replace("-", "−")
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return power_of_ten(mantissa.replace("-", "−"), int(exponent))


def power_of_ten(mantissa: str, exponent: int) -> str:
    """Return `mantissa×10ⁿ`.

    >>> power_of_ten("2", -7)
    '2×10⁻⁷'
    """
    return f"{mantissa}×10{str(exponent).translate(_SUPERSCRIPT)}"


def estimate_text(estimate: Estimate) -> str:
    """Return a value with its standard uncertainty, both cut at the uncertainty's second digit (GUM, 7.2.6).

    >>> estimate_text(Estimate(0.384612, 0.0049))
    '0.3846 ± 0.0049'
    """
    value, uncertainty = estimate.value, estimate.uncertainty
    if uncertainty is None:
        return number(value, 6)
    if not (uncertainty > 0 and math.isfinite(uncertainty)):
        return f"{number(value, 6)} ± {number(uncertainty)}"
    last = _exponent(uncertainty, 1) - 1
    if abs(value) < _LARGE and uncertainty < _LARGE and -last <= _MOST_DECIMALS:
        if last > 0:
            return f"{round(value, -last):.0f} ± {round(uncertainty, -last):.0f}".replace("-", "−")
        return f"{value:.{-last}f} ± {uncertainty:.{-last}f}".replace("-", "−")
    exponent = max(_exponent(value, 1), _exponent(uncertainty, 1))
    decimals = min(max(exponent - last, 0), 15)
    shown = [f"{Decimal(x).scaleb(-exponent):.{decimals}f}" for x in (value, uncertainty)]
    return power_of_ten(f"({shown[0]} ± {shown[1]})".replace("-", "−"), exponent)


def _exponent(value: float, decimals: int) -> int:
    """Return the power of ten of a number that is rounded to so many decimals; the smallest there is for 0."""
    return int(f"{value:.{decimals}e}".partition("e")[2]) if value else -400


def seconds_between(start: str, end: str) -> float:
    """Return the seconds from one UTC text to another."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def moment_text(moment: str) -> str:
    """Return a UTC text to the second, without its zone: `2026-11-20 06:37:52`."""
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M:%S")


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> duration_text(0.00024), duration_text(15030)
    ('0.24 ms', '4 h 10 min')
    """
    if seconds < 60:
        return f"{number(seconds * 1e3, 2)} ms" if 0 < seconds < 1 else f"{number(seconds, 3)} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for (large, size), (small, part) in pairwise(units):
        parts = round(seconds / part)
        if parts * part >= size:
            count, rest = divmod(parts * part, size)
            return f"{count} {large}" + (f" {rest // part} {small}" if rest else "")
    return f"{seconds:.0f} s"


def counted(count: int, word: str) -> str:
    """Return `1 experiment`, `2 experiments`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def ranges_text(numbers: Iterable[int]) -> str:
    """Return numbers with runs written as ranges.

    >>> ranges_text([1, 3, 4, 5])
    '1, 3–5'
    """
    runs: list[list[int]] = []
    for n in dict.fromkeys(numbers):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in runs)


def interval_text(lower: float, upper: float) -> str:
    """Return an interval, with as many digits as it takes to see a hundredth of its width.

    >>> interval_text(0.374612, 0.394213)
    '0.3746 … 0.3942'
    """
    width, largest = upper / 2 - lower / 2, max(abs(lower), abs(upper))
    digits = 4 if not (width > 0 and math.isfinite(largest)) else math.ceil(math.log10(largest / width)) + 2
    digits = min(max(digits, 2), 15)
    return f"{number(lower, digits)} … {number(upper, digits)}"


def cut_within(text: str, length: int) -> str:
    """Return text of at most `length` characters, with an ellipsis within: names of a kind often differ at their end."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head].rstrip()}…{text[-(length - 1 - head) :].lstrip()}"


def cut(text: str, length: int) -> str:
    """Return text of at most `length` characters, with an ellipsis where something was cut away."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
