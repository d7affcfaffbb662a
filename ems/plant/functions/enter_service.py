"""Enter service, model 703; ranges of adjustability of IEEE Std 1547-2018, 4.10."""

from ems.outstation import Accepts
from ems.plant.inverter import EnterService
from ems.protocols.sunspec import ModelBlock, model

V_SF, HZ_SF = -2, -3
PERCENT = 100.0


class EnterServiceModel:
    """The registers of model 703, and the settings they stand for."""

    def __init__(self, default: EnterService) -> None:
        self._shown_s = 0
        self.block = ModelBlock(model(703))
        self.block.set_raw("V_SF", V_SF)
        self.block.set_raw("Hz_SF", HZ_SF)
        self.block.set_raw("ES", int(default.permitted))
        for name, value in (
            ("ESVHi", default.v_high_pu * PERCENT),
            ("ESVLo", default.v_low_pu * PERCENT),
            ("ESHzHi", default.hz_high),
            ("ESHzLo", default.hz_low),
            ("ESDlyTms", default.delay_s),
            ("ESRndTms", default.random_s),
            ("ESRmpTms", default.ramp_s),
            ("ESDlyRemTms", 0.0),
        ):
            self.block.set_value(name, value)

    @property
    def part(self) -> EnterService:
        """What the registers say."""
        return EnterService(
            permitted=self.block.raw("ES") == 1,
            v_low_pu=self._value("ESVLo") / PERCENT,
            v_high_pu=self._value("ESVHi") / PERCENT,
            hz_low=self._value("ESHzLo"),
            hz_high=self._value("ESHzHi"),
            delay_s=self._value("ESDlyTms"),
            random_s=self._value("ESRndTms"),
            ramp_s=self._value("ESRmpTms"),
        )

    def accepts(self) -> dict[tuple[int, str], Accepts]:
        """Single settings, so each is checked when it is written."""
        ranges = {
            "ES": (0, 1),
            "ESVHi": (10_500, 10_600),
            "ESVLo": (8_800, 9_500),
            "ESHzHi": (60_100, 61_000),
            "ESHzLo": (59_000, 59_900),
            "ESDlyTms": (0, 600),
            "ESRndTms": (0, 1000),
            "ESRmpTms": (0, 1000),
        }
        return {(703, name): _between(low, high) for name, (low, high) in ranges.items()}

    def show(self, delay_s: int) -> None:
        """Put what is left of the delay into the registers [s]."""
        if delay_s != self._shown_s:
            self.block.set_raw("ESDlyRemTms", delay_s)
            self._shown_s = delay_s

    def _value(self, name: str) -> float:
        return self.block.value(name) or 0.0


def _between(low: int, high: int) -> Accepts:
    return lambda raw: low <= raw <= high
