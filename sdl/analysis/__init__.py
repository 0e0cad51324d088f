"""Analyses: raw data → outcomes."""

from sdl.analysis.base import Analysis, AnalysisInput, analysis_names, get_analysis

__all__ = ["Analysis", "AnalysisInput", "analysis_names", "get_analysis"]
