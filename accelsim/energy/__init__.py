"""Energy and area, from tables whose every number has a source."""

from accelsim.energy.estimate import (
    Area,
    Cost,
    Estimator,
    IdentifiedEstimator,
    Part,
    area_of,
)
from accelsim.energy.fold import (
    CAUSES,
    EnergyLine,
    adding_up,
    by_cause,
    by_component,
    charge,
    total_pj,
)
from accelsim.energy.machine_area import (
    LeakingPart,
    Needs,
    area_um2,
    leakage_by_part_mw,
    leakage_mw,
    leakage_pj,
    needs,
)
from accelsim.energy.parts import Item
from accelsim.energy.parts_built import BuiltParts, built, part_name, part_of
from accelsim.energy.scale import scale_logic
from accelsim.energy.sources import CostError
from accelsim.energy.table import EnergyTable

__all__ = [
    "CAUSES",
    "Area",
    "BuiltParts",
    "Cost",
    "CostError",
    "EnergyLine",
    "EnergyTable",
    "Estimator",
    "IdentifiedEstimator",
    "Item",
    "LeakingPart",
    "Needs",
    "Part",
    "adding_up",
    "area_of",
    "area_um2",
    "built",
    "by_cause",
    "by_component",
    "charge",
    "leakage_by_part_mw",
    "leakage_mw",
    "leakage_pj",
    "needs",
    "part_name",
    "part_of",
    "scale_logic",
    "total_pj",
]
