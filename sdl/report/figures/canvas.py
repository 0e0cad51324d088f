"""A drawing in SVG: frame, axes, marks; colours come from `figure.css` by class, so that light and dark both work."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING

from sdl.report.figures.scales import Bands
from sdl.report.html import Html, el
from sdl.report.text import cut_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.report.figures.scales import Scale

SMALL = 11.0
"""Size of the letters on axes, in pixels of the drawing."""

Entry = tuple[str, str, str]
"""An entry of a legend: shape (`dot`, `ring`, `cross`, `line`, `band`, `bar`, `tick`), class, what it stands for."""

_WIDTH = 0.56
"""Mean width of a letter as a share of its size, for a sans-serif face; there is nobody here to ask for its metrics."""

_NAME_LETTER = 7.0
"""Width of a letter in the name of an axis, in pixels, on the safe side."""


@dataclass(frozen=True)
class Frame:
    """The rectangle within the axes, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


class Canvas:
    """Collects the parts of a drawing.

    Args:
        width, height: in pixels at full size; the drawing scales with the page.
        title: what it shows, in a few words, for those who cannot see it.
        description: more of the same.
    """

    def __init__(self, width: float, height: float, title: str, description: str = "") -> None:
        self.width, self.height = width, height
        self.title, self.description = title, description
        self._parts: list[Html] = []

    def add(
        self, name: str, /, *children: Html | str | None, hover: str = "", **attributes: str | float | None
    ) -> None:
        """Add a shape; `hover` is shown where the pointer rests on it."""
        title = el("title", hover) if hover else None
        rounded = {k: round(v, 2) if isinstance(v, float) else v for k, v in attributes.items()}
        self._parts.append(el(name, title, *children, **rounded))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "start",
        class_: str = "f-label",
        *,
        transform: str | None = None,
    ) -> None:
        """Write a text."""
        self.add("text", text, x=x, y=y, text_anchor=anchor, class_=class_, transform=transform)

    def line(self, points: Sequence[tuple[float, float]], class_: str, hover: str = "") -> None:
        """Draw a line through points."""
        if points:
            self.add("path", hover=hover, d=path(points), class_=class_)

    def svg(self, *, standalone: bool = False) -> Html:
        """Return the drawing; a standalone one carries its own styles and can be a file."""
        style = Html(f"<style>{stylesheet()}</style>") if standalone else None
        described = el("desc", self.description) if self.description else None
        return el(
            "svg",
            style,
            el("title", self.title),
            described,
            *self._parts,
            xmlns="http://www.w3.org/2000/svg" if standalone else None,
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            width=self.width if standalone else None,
            height=self.height if standalone else None,
            class_="figure",
            role="img",
            aria_label=self.title,
            style=None if standalone else f"max-width:{self.width:g}px",
        )


def stylesheet() -> str:
    """Return the figures' styles, without comments."""
    return re.sub(r"/\*.*?\*/", "", files("sdl.report").joinpath("figure.css").read_text("utf-8"), flags=re.DOTALL)


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return the path through points."""
    return "M" + "L".join(f"{x:.2f},{y:.2f}" for x, y in points)


def stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the corners of a curve that stays level until the next point."""
    result = list(points[:1])
    for x, y in points[1:]:
        result += [(x, result[-1][1]), (x, y)]
    return result


def text_width(text: str, size: float = SMALL) -> float:
    """Return about how wide a text is, in pixels."""
    return _WIDTH * size * len(text)


def margin_for(scale: Scale, count: int) -> float:
    """Return how much room an upright axis needs on its left: its widest label, the name of the axis, some air."""
    widest = max((text_width(label) for _, label in scale.ticks(count)), default=0.0)
    return min(widest, 80.0) + 32.0


def draw_x(canvas: Canvas, frame: Frame, scale: Scale, label: str, count: int = 6) -> None:
    """Draw the horizontal axis: grid, numbers (or names, slanted where they are too long), and what it shows."""
    ticks = scale.ticks(count)
    names = isinstance(scale, Bands)
    width = (frame.right - frame.left) / max(len(ticks), 1)
    slanted = names and any(text_width(t) > width - 4 for _, t in ticks)
    # Of labels that would touch, only every second, third … is written; slanted ones need the height of a line.
    need = 13.0 if slanted else 0.0 if names else max((text_width(t) for _, t in ticks), default=0.0) + 8
    gap = min((abs(b[0] - a[0]) for a, b in pairwise(ticks)), default=need)
    every = max(1, math.ceil(need / gap)) if gap > 0 else 1
    for index, (x, text) in enumerate(ticks):
        if not names:
            canvas.add("line", x1=x, x2=x, y1=frame.top, y2=frame.bottom, class_="f-grid")
        if index % every:
            continue
        if slanted:
            y = frame.bottom + 12
            canvas.text(x + 3, y, cut_within(text, 12), "end", transform=f"rotate(-38 {x + 3:.2f} {y:.2f})")
        else:
            canvas.text(x, frame.bottom + 15, text, "middle")
    canvas.add("line", x1=frame.left, x2=frame.right, y1=frame.bottom, y2=frame.bottom, class_="f-axis")
    shown = cut_within(label, int((frame.right - frame.left + 20) / _NAME_LETTER))
    below = frame.bottom + (68 if slanted else 33)
    hover = el("title", label) if shown != label else None
    canvas.add("text", hover, shown, x=(frame.left + frame.right) / 2, y=below, text_anchor="middle", class_="f-name")


def x_room(names: Sequence[str], width: float) -> float:
    """Return how much room a horizontal axis needs below; names that are too long for their bands are slanted."""
    slanted = any(text_width(n) > width / max(len(names), 1) - 4 for n in names)
    return 76.0 if slanted else 41.0


def draw_y(canvas: Canvas, frame: Frame, scale: Scale, label: str, count: int = 5) -> None:
    """Draw the upright axis: grid, numbers, and what it shows."""
    for y, text in scale.ticks(count):
        canvas.add("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="f-grid")
        canvas.text(frame.left - 7, y + SMALL * 0.35, text, "end")
    shown = cut_within(label, int((frame.bottom - frame.top + 20) / _NAME_LETTER))
    hover = el("title", label) if shown != label else None
    x, y = 12.0, (frame.top + frame.bottom) / 2
    canvas.add(
        "text", hover, shown, x=x, y=y, text_anchor="middle", class_="f-name", transform=f"rotate(-90 {x:.2f} {y:.2f})"
    )


LEGEND_ROW = 17.0
"""Height of a legend's row in pixels."""


def legend_rows(entries: Sequence[Entry], width: float) -> list[list[Entry]]:
    """Return the entries of a legend in rows that fit into a width."""
    rows: list[list[Entry]] = []
    left = 0.0
    for entry in entries:
        need = _entry_width(entry)
        if not rows or left < need:
            rows.append([])
            left = width
        rows[-1].append(entry)
        left -= need
    return rows


def legend(canvas: Canvas, x: float, y: float, entries: Sequence[Entry]) -> None:
    """Draw one row of a legend; `x` and `y` are the left end and the middle of its first sign."""
    for shape, class_, text in entries:
        match shape:
            case "dot" | "ring":
                canvas.add("circle", cx=x + 8, cy=y, r=3.6 if shape == "dot" else 6.5, class_=class_)
            case "cross":
                canvas.add("path", d=cross(x + 8, y), class_=class_)
            case "tick":
                canvas.add("path", d=f"M{x + 8:.2f},{y + 5:.2f}v-10", class_=class_)
            case "line":
                canvas.add("line", x1=x, x2=x + 16, y1=y, y2=y, class_=class_)
            case _:
                canvas.add("rect", x=x, y=y - 5, width=16, height=10, class_=class_)
        canvas.text(x + 21, y + SMALL * 0.35, text)
        x += _entry_width((shape, class_, text))


def _entry_width(entry: Entry) -> float:
    return 21 + text_width(entry[2]) + 18


def cross(x: float, y: float, size: float = 3.2) -> str:
    """Return the path of a cross."""
    return f"M{x - size:.2f},{y - size:.2f}l{2 * size},{2 * size}M{x - size:.2f},{y + size:.2f}l{2 * size},{-2 * size}"
