"""The meter of the aggregate load, model 203, consumption positive."""

import math

from ems.outstation import RegisterMap
from ems.plant.misbehaviour import Misbehaviour
from ems.plant.nameplate import INT16_MAX, common
from ems.protocols.sunspec import ModelBlock, model, smallest_scale_factor


class LoadMeter:
    """Measures, and takes no orders."""

    def __init__(self, load_max_kw: float) -> None:
        self._how: Misbehaviour | None = None
        self._meter = ModelBlock(model(203))
        # Twice the largest load: a meter must show what it was not built for, too.
        self._sf = smallest_scale_factor(2 * load_max_kw * 1000, INT16_MAX)
        for name in ("W_SF", "VAR_SF", "VA_SF"):
            self._meter.set_raw(name, self._sf)
        blocks = [common("Load meter", "load"), self._meter]
        self.registers = RegisterMap(blocks, {}, on_write=lambda _: None)

    def misbehave(self, how: Misbehaviour | None, *, requests: int = 1) -> None:
        """Go wrong; None mends it."""
        with self.registers.lock:
            self._how = how
            self.registers.busy = requests if how is Misbehaviour.BUSY else 0

    def show(self, p_kw: float, q_kvar: float) -> None:
        """Put the present consumption into the registers [kW], [kvar]."""
        if self._how is Misbehaviour.FROZEN:
            return
        blind = self._how is Misbehaviour.BLIND
        p_w, q_var = (math.nan, math.nan) if blind else (p_kw * 1000, q_kvar * 1000)
        with self.registers.lock:
            self._meter.set_raw("W_SF", self._sf)
            self._meter.set_value("W", p_w)
            self._meter.set_value("VAR", q_var)
            self._meter.set_value("VA", math.hypot(p_w, q_var))
            if self._how is Misbehaviour.WRONG_SCALE:
                self._meter.set_raw("W_SF", self._sf + 1)
