"""Planners of other libraries under the platform's protocol: Ax, BayBE and Optuna (extra `sdl[peers]`).

    borrowing     import what is installed, and leave the process as it was
    shared        what all three need: the history as numbers, rows that are left, points put back into the space
    ax_planner    Ax
    baybe_planner BayBE
    optuna_planner Optuna

Each is stateless, as every planner is: the library's own client, campaign or study is built from the history at every
call, so that its proposals can be recomputed from the ledger. Nothing but these classes is loaded before one proposes.
"""

from sdl.planners.adapters.ax_planner import AxPlanner, AxSettings
from sdl.planners.adapters.baybe_planner import BaybePlanner, BaybeSettings
from sdl.planners.adapters.optuna_planner import OptunaPlanner, OptunaSettings

__all__ = ["AxPlanner", "AxSettings", "BaybePlanner", "BaybeSettings", "OptunaPlanner", "OptunaSettings"]
