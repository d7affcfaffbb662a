"""Current ratings of an element, from the limits at its terminals."""

from dataclasses import dataclass

from feeders.cim.document import CimObject
from feeders.cim.naming import fmt
from feeders.cim.reading import Reading

LASTING_S = 1e6
"""A limit that may be held longer than this is the normal one; shorter, the emergency one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ampacity:
    """Current ratings; 0 where the file has none [A]."""

    normal_a: float = 0.0
    emergency_a: float = 0.0

    def text(self) -> str:
        """As properties of a line. No rating is 0: OpenDSS would otherwise take 400 A."""
        emergency = max(self.emergency_a, self.normal_a)
        return f"normamps={fmt(self.normal_a)} emergamps={fmt(emergency)}"


def ampacity(reading: Reading, of: CimObject) -> Ampacity:
    """The smallest normal and emergency current limit at the terminals of an element."""
    normal: list[float] = []
    emergency: list[float] = []
    for terminal in reading.behind("Terminal.ConductingEquipment", of, "Terminal"):
        limits = reading.target(terminal, "ACDCTerminal.OperationalLimitSet", needed=False)
        if limits is None:
            continue
        for limit in reading.behind("OperationalLimit.OperationalLimitSet", limits, "CurrentLimit"):
            value = reading.number(limit, "CurrentLimit.value")
            kind = reading.target(limit, "OperationalLimit.OperationalLimitType", needed=False)
            lasts = LASTING_S + 1.0
            if kind is not None:
                lasts = reading.number(kind, "OperationalLimitType.acceptableDuration", lasts)
            (normal if lasts > LASTING_S else emergency).append(value)
    return Ampacity(normal_a=min(normal, default=0.0), emergency_a=min(emergency, default=0.0))
