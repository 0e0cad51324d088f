"""Planner `bayes`: Bayesian optimisation with Gaussian processes.

    settings      what a user may set
    data          which observations the models see, standardised
    models        the Gaussian process of one outcome
    failures      how likely an experiment is to fail
    isolation     nothing global is relied on, or changed
    acquisition   what a candidate is worth
    search        where in a space without a pool the acquisition is largest
    proposing     one proposal from beginning to end
    validation    leave-one-out predictions

Everything but `settings` and `planner` imports torch and is loaded when first needed.
"""

from sdl.planners.bayes.planner import BayesPlanner
from sdl.planners.bayes.settings import BayesSettings, InitialDesign, default_count

__all__ = ["BayesPlanner", "BayesSettings", "InitialDesign", "default_count"]
