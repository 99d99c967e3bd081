"""Energy of counted actions, from tables whose every number has a source."""

from accelsim.energy.fold import EnergyLine, by_component, charge, total_pj
from accelsim.energy.table import Cost, EnergyTable

__all__ = ["Cost", "EnergyLine", "EnergyTable", "by_component", "charge", "total_pj"]
