"""Pre-flight: campaign × lab × planner, before anything moves."""

from sdl.preflight.check import check, check_draft
from sdl.preflight.checked import Checked
from sdl.preflight.recorded import recorded_checked, recorded_draft, recorded_problem

__all__ = ["Checked", "check", "check_draft", "recorded_checked", "recorded_draft", "recorded_problem"]
