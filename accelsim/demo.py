"""The main job: a study of the digit networks on three machines under every policy."""

from __future__ import annotations

from pathlib import Path

from accelsim.report.study_report import write_report
from accelsim.study import Study, Watch, study

FILE = Path(__file__).with_suffix(".yaml")
"""The study: an ordinary one, which `accelsim study` runs as well."""


def run_demo(folder: Path, jobs: int | None = None, watch: Watch | None = None) -> Study:
    """Run what is missing of the demo, and write its report into `folder`. Returns the results."""
    found = study(FILE, jobs=jobs, out=folder, watch=watch)
    write_report(found, folder, command="accelsim demo")
    return found
