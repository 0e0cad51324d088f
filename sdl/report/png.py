"""The best-so-far curve, or with several objectives the hypervolume, as a PNG, for places that show no SVG (the Prefect UI)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from sdl.errors import SdlError
from sdl.report.figures.convergence import progress

if TYPE_CHECKING:
    from sdl.report.data import ReportData

_BLUE, _ORANGE, _GREEN, _RED, _GREY = "#2a66a8", "#c8741c", "#2f7d4f", "#b53a36", "#8a93a1"


def convergence_png(data: ReportData) -> bytes:
    """Return the best-so-far curve as PNG; drawn without a display and without touching matplotlib's global state.

    Raises:
        SdlError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ModuleNotFoundError as error:
        raise SdlError(
            f"the convergence plot as PNG needs {error.name}, which is not installed; run: pip install 'sdl[prefect]'"
        ) from error
    shown = progress(data)
    figure = Figure(figsize=(8.0, 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if data.random is not None:
        n = range(1, len(data.random.expected) + 1)
        axes.fill_between(
            n,
            data.random.lucky,
            data.random.unlucky,
            step="post",
            color=_GREY,
            alpha=0.18,
            lw=0,
            label="random, 80 % of runs",
        )
        axes.plot(n, data.random.expected, color=_GREY, ls="--", lw=1.4, label="random, expected")
    for value in shown.target:
        axes.axhline(value, color=_GREEN, ls="--", lw=1.2, label="target")
    if shown.curve:
        axes.step(*zip(*shown.curve, strict=True), where="post", color=_BLUE, lw=2, label=shown.curve_name)
    initial = [(e.number, v) for e, v in shown.points if e.is_initial and e.is_feasible]
    others = [(e.number, v) for e, v in shown.points if not e.is_initial and e.is_feasible]
    infeasible = [(e.number, v) for e, v in shown.points if not e.is_feasible]
    if initial:
        axes.scatter(
            [n for n, _ in initial],
            [v for _, v in initial],
            s=22,
            facecolor="white",
            edgecolor=_ORANGE,
            zorder=3,
            label="initial design",
        )
    if others:
        axes.scatter([n for n, _ in others], [v for _, v in others], s=18, color=_BLUE, zorder=3, label="proposed")
    if infeasible:
        axes.scatter(
            [n for n, _ in infeasible],
            [v for _, v in infeasible],
            s=20,
            marker="x",
            lw=1.2,
            color=_BLUE,
            zorder=3,
            label="not feasible",
        )
    if shown.failed:
        axes.plot(
            shown.failed,
            [0.02] * len(shown.failed),
            "|",
            color=_RED,
            ms=9,
            mew=2,
            transform=axes.get_xaxis_transform(),
            label="failed",
        )
    if shown.before is not None:
        axes.axhline(shown.before, color=_GREY, ls=":", lw=1.2, label="best known before")
    if not shown.points:
        axes.text(0.5, 0.5, "no results yet", transform=axes.transAxes, ha="center", va="center", color=_GREY)
    if shown.log:
        axes.set_yscale("log")
    axes.set_xlim(0.4, shown.last + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("experiment")
    axes.set_ylabel(_literal(shown.label))
    axes.grid(color="#e8ebf0", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _literal(text: str) -> str:
    """Keep matplotlib from reading a formula into a name."""
    return text.replace("$", r"\$")
