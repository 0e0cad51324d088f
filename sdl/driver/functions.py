"""Drivers whose action is a pure function: a planner may ask them too, without a command and without a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from sdl.driver.instrument import DriverSettings


@runtime_checkable
class PureFunction(Protocol):
    """A function with named arguments and results that depends on nothing else; it can be pickled.

    Arguments and results are in the units that the driver's action declares.
    """

    @property
    def digest(self) -> str:
        """SHA-256 of all that its values depend on: its code, and what is fixed."""
        ...

    def __call__(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the results by name; with arrays of shape (n,) as arguments, arrays, where the function can do so."""
        ...


@runtime_checkable
class GivesFunction(Protocol):
    """A driver class whose one action is a pure function."""

    @classmethod
    def pure_function(cls, settings: DriverSettings) -> PureFunction:
        """Return the function.

        Raises:
            DriverError: it cannot be found.
        """
        ...
