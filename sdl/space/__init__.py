"""The search space: parameters, constraints, pools of candidates, and how they are sampled."""

from sdl.space.candidate import Candidate, Value
from sdl.space.constraints import Constraint, CountConstraint, ExpressionConstraint, LinearConstraint
from sdl.space.cost import Cost
from sdl.space.parameters import Categorical, Continuous, Discrete, Integer, Parameter
from sdl.space.pool import Pool
from sdl.space.space import Space

__all__ = [
    "Candidate",
    "Categorical",
    "Constraint",
    "Continuous",
    "Cost",
    "CountConstraint",
    "Discrete",
    "ExpressionConstraint",
    "Integer",
    "LinearConstraint",
    "Parameter",
    "Pool",
    "Space",
    "Value",
]
