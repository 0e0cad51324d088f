"""The figures of `sdl explain` as files: SVG that every viewer shows, without a page around it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sdl.errors import InputError
from sdl.report.figures.canvas import stylesheet
from sdl.report.figures.effects import effect_svg, effect_values, map_svg
from sdl.report.figures.influence import influence_svg
from sdl.report.figures.shares import shares_svg
from sdl.report.figures.told import gain_svg, told_svg
from sdl.report.why_section import told_of

if TYPE_CHECKING:
    from pathlib import Path

    from sdl.report.html import Html
    from sdl.report.why import Why
    from sdl.space import Space

_VARIABLE = re.compile(r"(--[a-z0-9-]+):\s*([^;]+);")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def plots_of(found: Why, space: Space) -> dict[str, str]:
    """Return file name → SVG of everything that can be drawn: shares, effects, maps, influence, intervals, what is to be gained.

    Args:
        found: what was explained.
        space: of the campaign.
    """
    drawn: dict[str, Html] = {}
    units: dict[str, str] = {}
    for model in found.explained.models:
        outcome = (model.outcome, model.unit)
        units[model.outcome] = model.unit
        sensitivity = model.sensitivity
        if sensitivity is not None and sensitivity.indices:
            drawn[f"{model.outcome}-shares"] = shares_svg(sensitivity, model.outcome, standalone=True)
            values = effect_values(sensitivity.effects)
            for effect in sensitivity.effects:
                name = f"{model.outcome}-effect-{effect.parameter}"
                drawn[name] = effect_svg(effect, space, outcome, values, standalone=True)
            for pair in sensitivity.pairs:
                if any(v is not None for row in pair.mean for v in row):
                    name = f"{model.outcome}-effect-{'-'.join(pair.parameters)}"
                    drawn[name] = map_svg(pair, space, outcome, standalone=True)
        if model.influence is not None:
            drawn[f"{model.outcome}-influence"] = influence_svg(model.influence, standalone=True)
    for one in found.explained.coverage:
        if told := told_of(found.proposals, one.outcome):
            unit = told[0][1].unit
            drawn[f"{one.outcome}-intervals"] = told_svg(
                one.outcome, units.get(one.outcome, unit), told, standalone=True
            )
    if any(g.probability is not None for g in found.gains):
        drawn["still-to-be-gained"] = gain_svg(found.gains, found.rule, standalone=True)
    return {f"{_UNSAFE.sub('_', name)}.svg": plain(drawing) for name, drawing in drawn.items()}


def plain(drawing: Html) -> str:
    """Return a standalone drawing on white, its colours written out: few programs know variables in styles."""
    style = stylesheet()
    light, rest = style.split("@media", 1)
    colours = dict(_VARIABLE.findall(light))
    # what follows the rule for dark screens, which ends with two braces
    rules = re.split(r"\}\s*\}", rest, maxsplit=1)[1]
    for name, colour in colours.items():
        rules = rules.replace(f"var({name})", colour.strip())
    return str(drawing).replace(style, f".figure {{ background: #ffffff; }}{rules}")


def write_plots(found: Why, space: Space, folder: Path) -> list[Path]:
    """Write all figures into a folder, which is made where it does not exist; files of these names are replaced.

    Args:
        found: what was explained.
        space: of the campaign.
        folder: where to.

    Raises:
        InputError: the folder cannot be written to.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in plots_of(found, space).items():
            path = folder / name
            path.write_text(text, "utf-8")
            written.append(path)
    except OSError as error:
        raise InputError(
            f"the plots cannot be written to {folder}: {error.strerror or error}; choose another folder"
        ) from error
    return written
