"""YAML files in, the package's types out; every problem names file, line and key."""

from accelsim.config.load import (
    check_file,
    energy_table_names,
    load_energy_table,
    load_hardware,
    load_workload,
)

__all__ = [
    "check_file",
    "energy_table_names",
    "load_energy_table",
    "load_hardware",
    "load_workload",
]
