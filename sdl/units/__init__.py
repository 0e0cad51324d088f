"""Physical units: quantities are read as number and unit, never evaluated, and converted at the boundary."""

from sdl.units.quantity import (
    DIMENSIONLESS,
    Quantity,
    canonical_unit,
    convert,
    convert_difference,
    is_compatible,
    is_offset,
    read_duration,
    read_quantity,
)

__all__ = [
    "DIMENSIONLESS",
    "Quantity",
    "canonical_unit",
    "convert",
    "convert_difference",
    "is_compatible",
    "is_offset",
    "read_duration",
    "read_quantity",
]
