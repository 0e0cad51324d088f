"""Lends another library the process for one proposal: seeded, on one thread, quiet, and put back afterwards."""

from __future__ import annotations

import logging
import random
import warnings
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.errors import PlannerError

if TYPE_CHECKING:
    from collections.abc import Iterator

Module = Any


def library(planner: str, module: str) -> Module:
    """Import a library that the extra `peers` brings, within `borrowed`.

    Raises:
        PlannerError: it, or something that it needs, is not installed.
    """
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        raise PlannerError(
            f"planner '{planner}' needs the extra sdl[peers]: {error.name} is not installed; "
            f"run: pip install 'sdl[peers]'"
        ) from error
    warnings.simplefilter("ignore")  # BayBE puts a filter of its own in front when it is first imported
    return found


def described(distribution: str) -> str:
    """Return name and version of an installed distribution, for the diagnostics."""
    return f"{distribution} {version(distribution)}"


def narrow_seed(seed: int) -> int:
    """Return a seed below 2³², the most that NumPy's old generator takes."""
    return seed % 2**32


@contextmanager
def borrowed(seed: int) -> Iterator[None]:
    """Seed every global generator, use one thread, let no warning and no log line below an error out.

    Random states of Python, NumPy and torch, torch's thread count, default dtype and gradient mode, warning filters and
    the logging threshold are put back, also after an error.
    """
    with ExitStack() as stack:
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.WARNING)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.callback(random.setstate, random.getstate())
        random.seed(seed)
        stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002  what the libraries use
        np.random.seed(narrow_seed(seed))  # noqa: NPY002
        _torch(stack, seed)
        yield


def _torch(stack: ExitStack, seed: int) -> None:
    try:
        import torch
    except ModuleNotFoundError:  # Optuna's TPE does without
        return
    stack.callback(torch.set_num_threads, torch.get_num_threads())
    torch.set_num_threads(1)
    stack.callback(torch.set_default_dtype, torch.get_default_dtype())
    torch.set_default_dtype(torch.float32)  # torch's own default, whatever the user has set
    stack.enter_context(torch.random.fork_rng(devices=[]))
    stack.enter_context(torch.enable_grad())
    torch.default_generator.manual_seed(seed)
