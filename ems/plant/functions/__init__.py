"""What an inverter does by itself, in SunSpec models 703 and 705 to 712."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from ems.domain import Bes, Pv
from ems.outstation import Accepts, Written
from ems.plant.functions.curves import QBase, frequency_droop, volt_var, volt_watt, watt_var
from ems.plant.functions.enter_service import EnterServiceModel
from ems.plant.functions.stored import Blank, StoredCurves, blank
from ems.plant.functions.trips import (
    HIGH_FREQUENCY,
    HIGH_VOLTAGE,
    LOW_FREQUENCY,
    LOW_VOLTAGE,
    trip_layout,
)
from ems.plant.inverter import (
    DEFAULTS,
    FrequencyDroop,
    InverterSettings,
    Trip,
    VoltVar,
    VoltWatt,
    WattVar,
    apparent_kva,
)
from ems.protocols.sunspec import ModelBlock

__all__ = ["AutonomousFunctions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blanks:
    """All models as they stand at first."""

    volt_var: Blank[VoltVar]
    volt_watt: Blank[VoltWatt]
    trips: Mapping[str, Blank[Trip]]
    droop: Blank[FrequencyDroop]
    watt_var: Blank[WattVar]


SIDES = {
    "low_voltage": LOW_VOLTAGE,
    "high_voltage": HIGH_VOLTAGE,
    "low_frequency": LOW_FREQUENCY,
    "high_frequency": HIGH_FREQUENCY,
}
"""Trip models by the name of their part, in chain order."""


@lru_cache(maxsize=2)
def _blanks(*, absorbs: bool) -> _Blanks:
    """Of PV plants, or of batteries: what is per unit is the same for all of them."""
    base = QBase(w_max_pu=1.0, var_max_pu=1.0)  # the defaults relate to apparent power
    default = DEFAULTS
    return _Blanks(
        volt_var=blank(volt_var(base), default.volt_var, enabled=False),
        volt_watt=blank(volt_watt(absorbs=absorbs), default.volt_watt, enabled=False),
        trips={
            n: blank(trip_layout(s), getattr(default, n), enabled=True) for n, s in SIDES.items()
        },
        droop=blank(frequency_droop(absorbs=absorbs), default.droop, enabled=True),
        watt_var=blank(watt_var(base, absorbs=absorbs), default.watt_var, enabled=False),
    )


class AutonomousFunctions:
    """The models of one inverter, and the settings they stand for."""

    def __init__(self, der: Pv | Bes) -> None:
        """All defaults, volt-var, volt-watt and watt-var off."""
        va, absorbs = apparent_kva(der), isinstance(der, Bes)
        base = QBase(w_max_pu=der.rated_kw / va, var_max_pu=der.q_max_kvar / va)
        self._blanks = at_first = _blanks(absorbs=absorbs)
        self._enter = EnterServiceModel(DEFAULTS.enter_service)
        self._volt_var = StoredCurves(volt_var(base), at_first.volt_var)
        self._volt_watt = StoredCurves(volt_watt(absorbs=absorbs), at_first.volt_watt)
        self._trips = {
            name: StoredCurves(trip_layout(side), at_first.trips[name])
            for name, side in SIDES.items()
        }
        self._droop = StoredCurves(frequency_droop(absorbs=absorbs), at_first.droop)
        self._watt_var = StoredCurves(watt_var(base, absorbs=absorbs), at_first.watt_var)
        self._stored: tuple[StoredCurves[Any], ...] = (
            self._volt_var, self._volt_watt, *self._trips.values(), self._droop, self._watt_var,
        )  # fmt: skip

    @property
    def enter_service(self) -> ModelBlock:
        """Model 703, which stands before the controls in the chain."""
        return self._enter.block

    @property
    def blocks(self) -> tuple[ModelBlock, ...]:
        """Models 705 to 712, in chain order."""
        return tuple(s.block for s in self._stored)

    def accepts(self) -> dict[tuple[int, str], Accepts]:
        """Writable points of all models."""
        at_first = self._blanks
        points = self._enter.accepts()
        models: tuple[Blank[Any], ...] = (
            at_first.volt_var, at_first.volt_watt, *at_first.trips.values(), at_first.droop,
            at_first.watt_var,
        )  # fmt: skip
        for each in models:
            points |= each.accepts
        return points

    def settings(self) -> InverterSettings:
        """What the registers in force say."""
        return InverterSettings(
            enter_service=self._enter.part,
            volt_var=_with(self._volt_var),
            volt_watt=_with(self._volt_watt),
            watt_var=_with(self._watt_var),
            droop=_with(self._droop),
            **{name: _with(stored) for name, stored in self._trips.items()},
        )

    def written(self, points: Written, now: datetime) -> None:
        """Adopt what was asked to be adopted, and start reversion timers."""
        for stored in self._stored:
            names = frozenset(n for model_id, n in points if model_id == stored.block.model.id)
            if names:
                stored.written(names, now)

    def expire(self, now: datetime) -> bool:
        """Adopt the reversion curves of timers that have run out; whether there were any."""
        expired = [stored.expire(now) for stored in self._stored]
        return any(expired)

    def show(self, now: datetime, service_delay_s: float) -> None:
        """Put the times that remain into the registers."""
        self._enter.show(round(service_delay_s))
        for stored in self._stored:
            stored.show(now)

    def is_on(self, model_id: int) -> bool:
        """Whether the function of a model is enabled."""
        return any(s.enabled for s in self._stored if s.block.model.id == model_id)

    def disable_reactive(self, *, but: int | None) -> None:
        """Turn volt-var and watt-var off, except the one of this model."""
        for stored in (self._volt_var, self._watt_var):
            if stored.block.model.id != but:
                stored.disable()


def _with(stored: StoredCurves[Any]) -> Any:
    """The part in force, with its function on or off."""
    return replace(stored.part, enabled=stored.enabled)
