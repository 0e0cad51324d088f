"""Ask a ledger's planners again: every proposal is a pure function of the rows before it, and can be recomputed."""

from sdl.audit.recompute import Deviation, Recomputation, RoundCheck, recompute

__all__ = ["Deviation", "Recomputation", "RoundCheck", "recompute"]
