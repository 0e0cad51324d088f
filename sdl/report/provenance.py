"""Where everything came from: version, files, seeds, libraries, instruments, rounds, and the journal's head."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sdl.report.data import NATURES
from sdl.report.html import Html, el, joined
from sdl.report.sections import code, section, table
from sdl.report.text import counted, moment_text, number, ranges_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.report.data import ReportData
    from sdl.report.html import Child

_MOST_ROUNDS = 2000
"""Rounds beyond which the list would be longer than anybody reads."""


def provenance(data: ReportData) -> Html:
    """Return everything that one needs to find, check or repeat the campaign."""
    return section(
        "provenance",
        "Provenance",
        _facts(data),
        el("h3", "Instruments"),
        table(
            ["instrument", "driver", "nature"],
            [
                [
                    el("b", i.name),
                    _driver(i.driver, i.written),
                    NATURES.get(i.nature, i.nature) or "not known: nothing ran yet",
                ]
                for i in data.instruments
            ],
        ),
        el("h3", "Files of this version"),
        _files(data),
        el("h3", "Processes that ran the campaign"),
        _epochs(data),
        _rounds(data),
        _notes(data),
        _text(data),
    )


def _facts(data: ReportData) -> Html:
    facts: list[tuple[str, Child]] = [
        (
            "Journal head",
            joined("row ", el("b", str(data.seq), id="head-seq"), ", SHA-256 ", el("code", data.hash, id="head-hash")),
        ),
        ("Campaign version", joined(f"{data.version.version}, digest ", code(data.version.digest))),
        (
            "Seed",
            joined(
                f"{data.seed}", f"; of the simulated world: {data.world_seed}" if data.world_seed is not None else None
            ),
        ),
        ("Planner", joined(data.planner, " ", code(_json(data.planner_settings)) if data.planner_settings else None)),
        ("Settings of the run", code(_json(data.settings))),
    ]
    if data.version.overrides:
        facts.append(
            (
                "Changed on the command line",
                joined(*(joined(code(_override(data, o)), el("br")) for o in data.version.overrides)),
            )
        )
    for name, lines in (("Amended on its way", data.changes), ("Results told by people", data.told)):
        if lines:
            facts.append((name, joined(*(joined(line, el("br")) for line in lines))))
    facts.append(("Report made", f"{moment_text(data.made)} UTC"))
    rows = [joined(el("dt", name), el("dd", value)) for name, value in facts]
    return el("dl", *rows, class_="facts")


def _override(data: ReportData, path: str) -> str:
    """Return `path = value` of something that was set on the command line."""
    value: object = data.version.data
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return path
    return f"{path} = {_json(value)}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _driver(driver: str, written: str | None) -> Html:
    return joined(code(driver), f" in the place of {written}" if written else None)


def _files(data: ReportData) -> Html:
    if not data.version.files:
        return el("p", "The campaign refers to no other file.", class_="empty")
    return table(["file", "SHA-256"], [[name, code(digest)] for name, digest in data.version.files.items()])


def _epochs(data: ReportData) -> Html:
    if not data.epochs:
        return el("p", "None yet.", class_="empty")
    rows: list[Sequence[Child]] = []
    for epoch in data.epochs:
        environment = dict(epoch.event.environment)
        environment.pop("instruments", None)
        environment.pop("clock", None)
        environment.pop("took_over", None)
        machine = str(environment.pop("machine", "–"))
        versions = ", ".join(f"{k} {v}" for k, v in environment.items())
        process = f"{epoch.event.pid} on {epoch.event.host}"
        rows.append([str(epoch.event.epoch), f"{moment_text(epoch.at)}", process, machine, versions])
    return table(["epoch", "since (lab time, UTC)", "process", "machine", "versions"], rows)


def _rounds(data: ReportData) -> Html | None:
    if not data.rounds:
        return None
    shown = data.rounds[:_MOST_ROUNDS]
    rows: list[Sequence[Child]] = []
    for r in shown:
        if r.proposed is None:
            rows.append([str(r.opened.round), str(r.opened.seed), str(r.opened.count), "never answered", "", ""])
            continue
        first, count = r.proposed.first, len(r.proposed.candidates)
        numbers = "–" if not count else str(first) if count == 1 else f"{first} … {first + count - 1}"
        seconds = number(r.proposed.seconds, 3)
        rows.append(
            [str(r.opened.round), str(r.opened.seed), str(r.opened.count), r.proposed.planner, numbers, seconds]
        )
    cut = (
        None
        if len(shown) == len(data.rounds)
        else el("p", f"The first {_MOST_ROUNDS} of {len(data.rounds)}.", class_="quiet")
    )
    return el(
        "details",
        el("summary", f"{counted(len(data.rounds), 'round')} of the planner, with seeds"),
        table(["round", "seed", "asked for", "planner", "experiments", "CPU seconds"], rows),
        cut,
    )


def _notes(data: ReportData) -> Html | None:
    """Return what the planner said it did otherwise than usual; equal remarks stand together."""
    said: dict[str, list[int]] = {}
    for r in data.rounds:
        remarks = r.proposed.diagnostics.get("fallbacks") if r.proposed is not None else None
        for remark in remarks if isinstance(remarks, list) else []:
            said.setdefault(str(remark), []).append(r.opened.round)
    if not said:
        return None
    items = [
        el("li", text, " ", el("span", f"(round {ranges_text(rounds)})", class_="quiet"))
        for text, rounds in said.items()
    ]
    return el("details", el("summary", f"{counted(len(said), 'remark')} of the planner"), el("ul", *items))


def _text(data: ReportData) -> Html:
    return el(
        "details",
        el("summary", f"Campaign file, version {data.version.version}, as recorded"),
        el("pre", el("code", data.version.text), tabindex="0"),
    )
