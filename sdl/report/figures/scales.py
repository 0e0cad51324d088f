"""Map values to pixels, and choose the numbers that stand along an axis."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sdl.report.text import number, power_of_ten

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Tick = tuple[float, str]
"""Where a mark stands, in pixels, and what is written there."""

_WIDE = 100.0
"""Positive outcomes whose largest is this many times the smallest are drawn along a logarithmic axis."""
_MOST = sys.float_info.max
_LEAST_SPAN = 1e-9
"""Span, relative to the values, below which they count as one value: labels could not tell them apart."""


class Scale(Protocol):
    """Maps what one axis shows to pixels."""

    @property
    def start(self) -> float:
        """Pixel of its beginning."""
        ...

    @property
    def end(self) -> float:
        """Pixel of its end."""
        ...

    def ticks(self, count: int) -> list[Tick]:
        """Return about so many marks."""
        ...


@dataclass(frozen=True)
class Linear:
    """Numbers along an axis.

    Attributes:
        low, high: the values at its ends.
        start, end: their pixels.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return a value's pixel."""
        half = self.high / 2 - self.low / 2  # the span itself could overflow
        return self.start + (value / 2 - self.low / 2) / half * (self.end - self.start)

    def ticks(self, count: int) -> list[Tick]:
        """Return round numbers: multiples of 1, 2 or 5 times a power of ten."""
        values, step = round_numbers(self.low, self.high, count)
        return [(self(v), label) for v, label in zip(values, labels(values, step), strict=True)]


@dataclass(frozen=True)
class Log:
    """Positive numbers along a logarithmic axis; as `Linear`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return a value's pixel; what is not positive lies at the lower end."""
        if value <= self.low:
            return self.start
        if value >= self.high:
            return self.end  # the largest float there is has no margin beyond it
        share = (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int) -> list[Tick]:
        """Return powers of ten, with 2 and 5 between them where there is room; round numbers on less than a decade."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        decades = range(first, last + 1)
        inside = [d for d in decades if self.low <= 10.0**d <= self.high]
        if len(inside) >= 3:
            every = math.ceil(len(inside) / max(count, 2))
            chosen = [(10.0**d, d) for d in inside[::every]]
            return [(self(v), _decade(d)) for v, d in chosen]
        for steps in ((1, 3), (1, 2, 5)):
            values = [m * 10.0**d for d in decades for m in steps if self.low <= m * 10.0**d <= self.high]
            if len(values) >= 3:
                return [(self(v), _short(v)) for v in values]
        values, step = round_numbers(self.low, self.high, count)
        return [(self(v), label) for v, label in zip(values, labels(values, step), strict=True)]


@dataclass(frozen=True)
class Marked:
    """A scale with marks at given numbers, such as whole ones, written as they are."""

    scale: Linear | Log
    marks: tuple[float, ...]

    @property
    def start(self) -> float:
        """Pixel of its beginning."""
        return self.scale.start

    @property
    def end(self) -> float:
        """Pixel of its end."""
        return self.scale.end

    def __call__(self, value: float) -> float:
        """Return a value's pixel."""
        return self.scale(value)

    def ticks(self, count: int) -> list[Tick]:
        """Return all marks, whatever `count` says."""
        del count
        return [(self.scale(m), number(m)) for m in self.marks]


@dataclass(frozen=True)
class Bands:
    """Names along an axis, each with a band of its own."""

    names: tuple[str, ...]
    start: float
    end: float

    def __call__(self, name: str, offset: float = 0.0) -> float:
        """Return a pixel in a name's band; `offset` from −0.5 to 0.5 moves it within the band."""
        width = (self.end - self.start) / len(self.names)
        return self.start + (self.names.index(name) + 0.5 + offset) * width

    def ticks(self, count: int) -> list[Tick]:
        """Return every name, whatever `count` says."""
        del count
        return [(self(n), n) for n in self.names]


def scale_over(
    values: Iterable[float], start: float, end: float, *, log: bool = False, margin: float = 0.05
) -> Linear | Log:
    """Return a scale that shows all values with some margin.

    Args:
        values: what must be seen; finite, and positive for `log`; may be empty.
        start: pixel of the axis's beginning.
        end: pixel of its end.
        log: logarithmic.
        margin: on either side, as a share of the span.
    """
    shown = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    if log and shown:
        low, high = math.log10(min(shown)), math.log10(max(shown))
        pad = (high - low) * margin if high - low > _LEAST_SPAN else 0.3
        return Log(10.0 ** max(low - pad, -307), 10.0 ** min(high + pad, 308), start, end)
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    size = max(abs(low), abs(high))
    if high / 2 - low / 2 <= _LEAST_SPAN * size:
        half = size * 0.05 or 0.5
        low, high, margin = max(low - half, -_MOST), min(high + half, _MOST), 0.0
    pad = (high / 2 - low / 2) * margin
    return Linear(max(low - pad - pad, -_MOST), min(high + pad + pad, _MOST), start, end)


def wants_log(values: Iterable[float]) -> bool:
    """Tell whether positive values span so much that a linear axis would hide most of them."""
    shown = list(values)
    return bool(shown) and min(shown) > 0 and max(shown) / min(shown) >= _WIDE


def round_numbers(low: float, high: float, count: int) -> tuple[list[float], float]:
    """Return the multiples of a round step (1, 2 or 5 times a power of ten) between two numbers, and the step."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low], 1.0
    exponent = math.floor(math.log10(span / max(count, 1)))
    if exponent < -300:
        return [low, high], span
    step = next(m * 10.0**exponent for m in (1, 2, 5, 10, 20) if span / (m * 10.0**exponent) <= count)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, min(last, first + 2 * count + 2) + 1)], step


def whole_numbers(first: int, last: int, count: int) -> tuple[float, ...]:
    """Return at most about `count` whole numbers from `first` to `last`, round ones but for `first` itself."""
    step = 1
    while (last - first) / step > count:
        step = next(s for s in (m * 10**k for k in range(18) for m in (1, 2, 5)) if s > step)
    round_ones = [n for n in range(-(-first // step) * step, last + 1, step) if n > first and n - first >= step / 2]
    return (float(first), *(float(n) for n in round_ones))


def labels(values: Sequence[float], step: float) -> list[str]:
    """Return numbers with as many decimals as their step needs, powers of ten split off where they would be long."""
    if not values:
        return []
    largest = max(abs(v) for v in values)
    finest = math.floor(math.log10(step) + 1e-9) if step > 0 else 0
    if largest == 0 or (largest < 1e5 and finest >= -4):
        return [
            f"{v + 0.0:.{max(0, -finest)}f}".replace("-", "−")
            for v in (0.0 if abs(v) < step / 2 else v for v in values)
        ]
    exponent = math.floor(math.log10(largest))
    decimals = min(max(0, exponent - finest), 12)
    return [
        "0" if abs(v) < step / 2 else power_of_ten(f"{v / 10.0**exponent:.{decimals}f}".replace("-", "−"), exponent)
        for v in values
    ]


def _decade(exponent: int) -> str:
    return f"{10.0**exponent:g}" if -3 <= exponent <= 4 else power_of_ten("1", exponent).removeprefix("1×")


def _short(value: float) -> str:
    if 1e-4 <= value < 1e5:
        return f"{value:.10g}"
    mantissa, _, exponent = f"{value:e}".partition("e")
    return power_of_ten(f"{float(mantissa):g}", int(exponent))
