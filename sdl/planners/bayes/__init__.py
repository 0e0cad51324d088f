"""Planner `bayes`: Bayesian optimisation with Gaussian processes.

    settings      what a user may set
    data          which observations the models see
    scales        on what scale a model sees an outcome
    models        the Gaussian process of one outcome
    outliers      which results are believed less
    choice        which kernel and scale an outcome gets
    hints         physics and earlier campaigns as functions of what the models see
    prior_means   what a model makes of them
    weighing      which of them a model uses
    intervals     how wide the intervals are that are told beforehand
    failures      how likely an experiment is to fail
    isolation     nothing global is relied on, or changed
    acquisition   what a candidate is worth
    search        where in a space without a pool the acquisition is largest
    proposing     one proposal from beginning to end
    validation    leave-one-out predictions
    sensitivity   which parameters matter to a function over a space
    explaining    what the models know, and why a candidate was worth an experiment

Everything but `settings` and `planner` imports torch and is loaded when first needed.
"""

from sdl.planners.bayes.planner import BayesPlanner
from sdl.planners.bayes.settings import BayesSettings, InitialDesign, default_count

__all__ = ["BayesPlanner", "BayesSettings", "InitialDesign", "default_count"]
