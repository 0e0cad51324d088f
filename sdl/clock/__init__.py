"""Time: real, scaled and virtual, behind one interface that everything which waits must use."""

from sdl.clock.clocks import (
    VIRTUAL_EPOCH,
    Clock,
    ClockSettings,
    Moment,
    RealClock,
    VirtualClock,
    make_clock,
    on_grid,
    utc_text,
)

__all__ = [
    "VIRTUAL_EPOCH",
    "Clock",
    "ClockSettings",
    "Moment",
    "RealClock",
    "VirtualClock",
    "make_clock",
    "on_grid",
    "utc_text",
]
