"""What the grid is at a device's terminals."""

from dataclasses import dataclass

NOMINAL_HZ = 60.0
"""Rated frequency of the feeders here [Hz]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Voltage and frequency that a device feels at its point of connection."""

    v_pu: float = 1.0
    """Voltage, mean of the phases [pu]."""
    hz: float = NOMINAL_HZ
    """Frequency [Hz]."""
    phases_pu: tuple[float, ...] = ()
    """Voltage of each phase where they are known apart [pu]."""

    @property
    def highest_pu(self) -> float:
        """Voltage of the highest phase [pu]."""
        return max(self.phases_pu, default=self.v_pu)

    @property
    def lowest_pu(self) -> float:
        """Voltage of the lowest phase [pu]."""
        return min(self.phases_pu, default=self.v_pu)


NOMINAL = Terminal()
"""A grid as it should be."""
