"""YAML files in, the package's types out; every problem names file, line and key."""

from accelsim.config.grid import Grid, Variant
from accelsim.config.inputs import hardware_files, input_files, table_files
from accelsim.config.load import (
    check_file,
    load_hardware,
    load_workload,
)
from accelsim.config.shipped import shipped, shipped_folder, shipped_names
from accelsim.config.study import Bounds, StudyFile, load_study
from accelsim.config.sweep import Setting
from accelsim.config.tables import energy_table_names, load_energy_table
from accelsim.config.validate import did_you_mean

__all__ = [
    "Bounds",
    "Grid",
    "Setting",
    "StudyFile",
    "Variant",
    "check_file",
    "did_you_mean",
    "energy_table_names",
    "hardware_files",
    "input_files",
    "load_energy_table",
    "load_hardware",
    "load_study",
    "load_workload",
    "shipped",
    "shipped_folder",
    "shipped_names",
    "table_files",
]
