"""Reports: the results of a study in; HTML, Markdown, figures and tables out."""

from accelsim.report.study_report import write_report

__all__ = ["write_report"]
