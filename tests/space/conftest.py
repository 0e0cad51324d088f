"""Spaces made up by hypothesis."""

from __future__ import annotations

import made_up_spaces
import pytest


class Strategies:
    continuous = staticmethod(made_up_spaces.continuous)
    integer = staticmethod(made_up_spaces.integer)
    discrete = staticmethod(made_up_spaces.discrete)
    categorical = staticmethod(made_up_spaces.categorical)
    parameter = staticmethod(made_up_spaces.parameter)
    space = staticmethod(made_up_spaces.space)
    constrained_space = staticmethod(made_up_spaces.constrained_space)


@pytest.fixture(scope="session")
def made_up() -> type[Strategies]:
    return Strategies
