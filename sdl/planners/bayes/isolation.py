"""Keeps torch, GPyTorch and BoTorch from depending on, or changing, what the process has set."""

from __future__ import annotations

import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import gpytorch
import torch
from botorch.exceptions.warnings import OptimizationWarning
from linear_operator.utils.warnings import NumericalWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRIES = 6
"""How often a Cholesky decomposition is tried again, each time with ten times the jitter, from 1e-8."""
_LARGEST_CHOLESKY = 10_000
"""Matrices up to this size are factorised exactly; beyond its default of 800, GPyTorch would use random probes."""


@contextmanager
def isolated(seed: int) -> Iterator[list[str]]:
    """Run on one thread (several differ in the last bits), in double precision, with random numbers from the seed.

    Thread count, default dtype, random state, gradient mode, GPyTorch's settings and warning filters are put back, and
    no warning gets out.

    Yields:
        a list that holds, on exit, what was warned of numerical trouble or a fit that had to be repeated.
    """
    notes: list[str] = []
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    with ExitStack() as stack:
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(gpytorch.settings.cholesky_max_tries(_TRIES))
        stack.enter_context(gpytorch.settings.debug(state=False))  # checks of shapes, a sixth of the time
        stack.enter_context(gpytorch.settings.max_cholesky_size(_LARGEST_CHOLESKY))
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float64)  # the points of torch's Sobol sequence depend on it
        torch.default_generator.manual_seed(seed)
        try:
            yield notes
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)
            told = (w.message for w in caught if issubclass(w.category, (NumericalWarning, OptimizationWarning)))
            notes.extend(dict.fromkeys(f"BoTorch warned: {str(m).splitlines()[0]}" for m in told))
