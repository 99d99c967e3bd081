"""Energy and area, from tables whose every number has a source."""

from accelsim.energy.estimate import Area, Cost, Estimator, Part
from accelsim.energy.fold import EnergyLine, by_component, charge, total_pj
from accelsim.energy.scale import scale_logic
from accelsim.energy.table import EnergyTable

__all__ = [
    "Area",
    "Cost",
    "EnergyLine",
    "EnergyTable",
    "Estimator",
    "Part",
    "by_component",
    "charge",
    "scale_logic",
    "total_pj",
]
