"""Which instrument did what when, in lab time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.report.figures.canvas import Canvas, Entry, Frame, draw_x, legend, text_width
from sdl.report.figures.scales import Linear
from sdl.report.text import cut, duration_text, seconds_between

if TYPE_CHECKING:
    from sdl.report.data import ReportData, ReportedCommand
    from sdl.report.html import Html

_WIDTH, _LANE, _BAR = 1040.0, 34.0, 20.0
_UNITS = (
    ("ms", 1e-3, 1.0),
    ("s", 1.0, 300.0),
    ("min", 60.0, 4 * 3600.0),
    ("h", 3600.0, 4 * 86400.0),
    ("d", 86400.0, None),
)
_LONGEST_NAME = 24


def timeline_svg(data: ReportData) -> Html:
    """Return a Gantt chart, one lane an instrument; needs at least one command."""
    begin = min((c.started for c in data.commands), default=data.first)
    spans = [
        (c, seconds_between(begin, c.started), seconds_between(begin, c.finished or _end(data, c)))
        for c in data.commands
    ]
    total = max((end for _, _, end in spans), default=0.0)
    unit, size = next((u, s) for u, s, most in _UNITS if most is None or total < most)
    used = {c.instrument for c in data.commands}
    lanes = [i.name for i in data.instruments if i.name in used]
    lanes += sorted(used - set(lanes))
    left = max(text_width(cut(n, _LONGEST_NAME), 12) for n in lanes) + 20
    top = 34.0
    bottom = top + _LANE * len(lanes) + 4
    canvas = Canvas(
        _WIDTH, bottom + 41, f"Timeline of {len(lanes)} instruments over {duration_text(total)} of lab time"
    )
    frame = Frame(left, top, _WIDTH - 14, bottom)
    span = total / size or 1.0
    x = Linear(0.0, span * 1.01, frame.left, frame.right)
    draw_x(canvas, frame, x, f"lab time since the first command / {unit}", 10)
    for index, name in enumerate(lanes):
        y = top + _LANE * (index + 0.5)
        hover = name if len(name) > _LONGEST_NAME else ""
        canvas.add(
            "text", cut(name, _LONGEST_NAME), hover=hover, x=left - 10, y=y + 4, text_anchor="end", class_="f-lane"
        )
        canvas.add("line", x1=left, x2=frame.right, y1=y + _LANE / 2, y2=y + _LANE / 2, class_="f-grid")
    for command, start, end in spans:
        y = top + _LANE * (lanes.index(command.instrument) + 0.5) - _BAR / 2
        x1, x2 = x(start / size), x(end / size)
        hover = "\n".join(
            [
                f"experiment {command.experiment}: {command.instrument}.{command.action}",
                f"{command.status}, from {duration_text(start)}, took {duration_text(end - start)}",
                *([command.error] if command.error else []),
            ]
        )
        width = max(x2 - x1 - 0.6, 1.2)
        canvas.add(
            "rect", hover=hover, x=x1, y=y, width=width, height=_BAR, rx=min(2.0, width / 3), class_=_class(command)
        )
        label = str(command.experiment)
        if width > text_width(label, 10) + 5:
            canvas.text(x1 + width / 2, y + _BAR / 2 + 3.5, label, "middle", "f-in-bar")
    legend(canvas, left, 14, _entries(data))
    return canvas.svg()


def _end(data: ReportData, command: ReportedCommand) -> str:
    """Return where the bar of a command without a known end stops."""
    return data.last if command.status == "open" else command.started


def _class(command: ReportedCommand) -> str:
    if command.status == "succeeded":
        return "f-ran" if command.experiment % 2 else "f-ran f-even"
    return {"open": "f-open", "failed": "f-broke", "unknown": "f-unknown"}.get(command.status, "f-void")


def _entries(data: ReportData) -> list[Entry]:
    words = {
        "succeeded": ("f-ran", "succeeded (number: experiment)"),
        "failed": ("f-broke", "failed"),
        "unknown": ("f-unknown", "unknown"),
        "open": ("f-open", "under way"),
        "aborted": ("f-void", "aborted"),
        "not_started": ("f-void", "never started"),
    }
    seen = {c.status for c in data.commands}
    return [("bar", class_, text) for status, (class_, text) in words.items() if status in seen]
