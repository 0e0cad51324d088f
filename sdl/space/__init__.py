"""The search space: parameters, linear constraints, pools of candidates, and how they are sampled."""

from sdl.space.candidate import Candidate, Value
from sdl.space.constraints import LinearConstraint
from sdl.space.parameters import Categorical, Continuous, Discrete, Integer, Parameter
from sdl.space.pool import Pool
from sdl.space.space import Space

__all__ = [
    "Candidate",
    "Categorical",
    "Continuous",
    "Discrete",
    "Integer",
    "LinearConstraint",
    "Parameter",
    "Pool",
    "Space",
    "Value",
]
