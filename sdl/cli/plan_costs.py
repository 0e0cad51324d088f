"""What experiments cost, as `sdl plan` tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.cli.live import duration_text
from sdl.loop import cost_text

if TYPE_CHECKING:
    from sdl.cli.outcome import Output
    from sdl.preflight import Checked
    from sdl.space import Candidate


def say_costs(checked: Checked, output: Output) -> None:
    """Say what an experiment costs, source by source."""
    plan = checked.plan
    for source in plan.sources:
        cost = plan.costs.get(source)
        of = (
            ""
            if not plan.others
            else f" on '{source}'{' (the target, whose results count)' if source == plan.source else ''}"
        )
        if cost is not None:
            output.say(f"  cost of an experiment{of}: {cost}")
    if plan.costs and not checked.planner.capabilities.costs:
        output.say(f"  planner '{checked.planner.name}' takes no account of costs")


def estimate_costs(checked: Checked, candidates: list[Candidate], output: Output) -> list[dict[str, Any]]:
    """Say what experiments cost and take on each source, from the least to the most among candidates drawn at random."""
    plan = checked.plan
    told: list[dict[str, Any]] = []
    for source in plan.sources:
        cost = plan.costs.get(source)
        if cost is None:
            continue
        values = np.array([cost.of(candidate) for candidate in candidates])
        seconds = float(np.mean([plan.seconds(candidate, source) for candidate in candidates]))
        least, mean, most = float(values.min()), float(values.mean()), float(values.max())
        of = f" on '{source}', which takes about {duration_text(seconds)}," if plan.others else ""
        span = cost_text(mean, cost.unit)
        if least < most:
            span = f"{least:.4g} to {cost_text(float(f'{most:.4g}'), cost.unit)}, on average {mean:.4g}"
        output.say(f"an experiment{of} costs {span}")
        told.append(
            {
                "source": source,
                "expression": str(cost),
                "unit": cost.unit,
                "least": least,
                "mean": mean,
                "most": most,
                "seconds": seconds,
            }
        )
    if plan.cost_limit is not None and told:
        lasts = int(plan.cost_limit / told[0]["mean"])
        said = f"{cost_text(plan.cost_limit, plan.cost_unit)} last for about {lasts} experiments"
        output.say(said + (f" on '{plan.source}' alone" if plan.others else "") + f"; at most {plan.budget} are made")
    return told
