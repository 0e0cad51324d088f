"""Analyses: raw data → outcomes."""

from sdl.analysis.base import Analysis, AnalysisInput, DetailedAnalysis, analysis_names, get_analysis
from sdl.analysis.result import AnalysisFigure, AnalysisResult, Interval, Series

__all__ = [
    "Analysis",
    "AnalysisFigure",
    "AnalysisInput",
    "AnalysisResult",
    "DetailedAnalysis",
    "Interval",
    "Series",
    "analysis_names",
    "get_analysis",
]
