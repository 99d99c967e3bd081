"""Reports: runs in; HTML, Markdown, CSV and figures out."""

from accelsim.report.findings import Case, Demo
from accelsim.report.write import write_report

__all__ = ["Case", "Demo", "write_report"]
