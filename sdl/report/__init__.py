"""The report: one HTML file that shows a colleague what a campaign did, made from the ledger alone."""

from sdl.report.data import ReportData
from sdl.report.figures.convergence import convergence_svg
from sdl.report.png import convergence_png
from sdl.report.reading import report_data
from sdl.report.write import render_report, write_report

__all__ = ["ReportData", "convergence_png", "convergence_svg", "render_report", "report_data", "write_report"]
