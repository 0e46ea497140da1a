"""The report of an evaluation: metrics, intervals, tables and figures."""

from kx.contracts.findings import Findings, ReportOptions

__all__ = ["Findings", "ReportOptions"]
