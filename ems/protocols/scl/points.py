"""Which data object is which SunSpec point: the one table RTU and devices share.

Data objects follow IEC 61850-7-4 and 7-420 as far as public sources show; the others are
marked as extensions (`common.EXTENSION`). docs/rtu.md lists which is which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from ems.domain import Bes, Der, Pv
from ems.protocols.scl import common
from ems.protocols.scl.model import DataObject
from ems.protocols.sunspec import CAP, REACTIVE, SETPOINT, ControlBlock

SYSTEM, CONTROLLER, CONNECTION, GENERATOR = "LD0", "PMC", "ECP", "GEN"
"""Logical devices of an IED: itself, the controller, the connection point, the unit."""


class Form(Enum):
    """How a SunSpec point and a data object say the same thing."""

    NUMBER = "number"
    """A number with a scale factor there, an analogue value here."""
    COUNT = "count"
    """An unsigned integer."""
    FLAG = "flag"
    """0 or 1 there, a boolean here."""
    MODE = "mode"
    """0 or 1 there, off or on here."""
    OPERATING = "operating"
    """Connected or not there, the operating state here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """One SunSpec point as a data object."""

    model: int
    point: str
    ld: str
    ln_class: str
    do: str
    form: Form = Form.NUMBER
    own: bool = False
    """A data object of this project's own name space."""
    most: float | None = None
    """Larger numbers cannot be so; None where the register's range is all that is known."""
    instead: tuple[str, ...] = ()
    """Data objects of the same node that may stand in for it, best first."""

    @property
    def key(self) -> tuple[int, str]:
        """Model and point."""
        return self.model, self.point

    def make(self, *, control: bool) -> DataObject:
        """The data object; `control`: it shows a setpoint."""
        made = _MAKERS[self.form, control](self.do)
        return common.extension(made) if self.own else made


_MAKERS: Mapping[tuple[Form, bool], Callable[[str], DataObject]] = {
    (Form.NUMBER, False): common.measured,
    (Form.NUMBER, True): common.analogue_control,
    (Form.COUNT, False): common.counter,
    (Form.COUNT, True): common.integer_control,
    (Form.FLAG, False): common.single,
    (Form.FLAG, True): common.single_control,
    (Form.MODE, False): common.mode,
    (Form.MODE, True): common.mode,
    (Form.OPERATING, False): lambda name: common.state(name, common.OPERATING_STATE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Points of one control: written together, and in force or not together."""

    block: ControlBlock | None
    """Of model 704; None for a point that stands alone."""
    points: tuple[Mapped, ...]
    remaining: Mapped | None = None
    """What the device alone tells: seconds to reversion."""

    @property
    def keys(self) -> frozenset[tuple[int, str]]:
        """Models and points."""
        return frozenset(p.key for p in self.points)


def _control(ln_class: str, value: str, reversion: str, block: ControlBlock) -> Control:
    def at(point: str, do: str, form: Form, *, own: bool = True) -> Mapped:
        return Mapped(
            model=704, point=point, ld=CONTROLLER, ln_class=ln_class, do=do, form=form, own=own
        )

    return Control(
        block=block,
        points=(
            at(block.enable, "Mod", Form.MODE, own=False),
            at(block.value, value, Form.NUMBER, own=False),
            at(block.reversion, reversion, Form.NUMBER),
            at(block.enable_reversion, "RvrtEna", Form.FLAG),
            at(block.timer, "RvrtTms", Form.COUNT),
        ),
        remaining=at(block.remaining, "RvrtRem", Form.COUNT),
    )


CAP_CONTROL = _control("DWMX", "WMaxSptPct", "WMaxRvrtPct", CAP)
"""Limit of active power, in percent of the rating."""
POWER_CONTROL = _control("DAGC", "WSpt", "WSptRvrt", SETPOINT)
"""Active power, in watts."""
REACTIVE_CONTROL = _control("DVAR", "VArTgtSpt", "VArSptRvrt", REACTIVE)
"""Reactive power, in vars."""
SERVICE_CONTROL = Control(
    block=None,
    points=(
        Mapped(
            model=703, point="ES", ld=CONTROLLER, ln_class="DCTE", do="RtnSrvAuth", form=Form.FLAG
        ),
    ),
)
"""Whether the unit may be connected."""
HEARTBEAT_CONTROL = Control(
    block=None,
    points=(
        Mapped(
            model=715, point="ControllerHb", ld=SYSTEM, ln_class="LPHD", do="CtlHb",
            form=Form.COUNT, own=True,
        ),
    ),
)  # fmt: skip
"""The counter that a living controller moves."""


def controls_of(der: Der) -> tuple[Control, ...]:
    """What can be ordered of a DER."""
    active = CAP_CONTROL if isinstance(der, Pv) else POWER_CONTROL
    return active, REACTIVE_CONTROL, SERVICE_CONTROL, HEARTBEAT_CONTROL


CONTROLS = (CAP_CONTROL, POWER_CONTROL, REACTIVE_CONTROL, SERVICE_CONTROL, HEARTBEAT_CONTROL)


def _measured(point: str, do: str, *instead: str) -> Mapped:
    return Mapped(model=701, point=point, ld=CONNECTION, ln_class="MMXU", do=do, instead=instead)


MEASURED = (
    _measured("W", "TotW"),
    _measured("Var", "TotVAr"),
    _measured("VA", "TotVA"),
    _measured("LLV", "AvPPVPhs", "PPV.phsAB"),
    _measured("LNV", "AvPhVPhs", "PhV.phsA"),
    _measured("Hz", "Hz"),
    Mapped(
        model=701, point="ConnSt", ld=GENERATOR, ln_class="DGEN", do="DEROpSt", form=Form.OPERATING
    ),
    Mapped(model=715, point="LocRemCtl", ld=SYSTEM, ln_class="LLN0", do="Loc", form=Form.FLAG),
    Mapped(
        model=715, point="DERHb", ld=SYSTEM, ln_class="LPHD", do="Hb", form=Form.COUNT, own=True
    ),
)
"""What every DER tells."""
STORED = (
    Mapped(model=713, point="SoC", ld=GENERATOR, ln_class="DSTO", do="SocUsePct", most=100.0),
    Mapped(model=713, point="WHAvail", ld=GENERATOR, ln_class="DSTO", do="EffWh"),
)
"""What a battery tells as well."""
OFFERED = (Mapped(model=122, point="WAval", ld=GENERATOR, ln_class="DPVC", do="AvlW", own=True),)
"""What a PV plant tells as well: the power the sun offers."""
METERED = (
    Mapped(model=203, point="W", ld=CONNECTION, ln_class="MMXU", do="TotW"),
    Mapped(model=203, point="VAR", ld=CONNECTION, ln_class="MMXU", do="TotVAr"),
    Mapped(model=203, point="VA", ld=CONNECTION, ln_class="MMXU", do="TotVA"),
)
"""What the loads' connection point tells, consumption positive."""


ALL_TOLD = MEASURED + STORED + OFFERED
"""What a DER of any kind may tell."""


def told_by(der: Der) -> tuple[Mapped, ...]:
    """What a DER measures."""
    match der:
        case Pv():
            return MEASURED + OFFERED
        case Bes():
            return MEASURED + STORED
        case _:
            return MEASURED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """A setting of a file that SunSpec shows as one point or two."""

    ln_class: str
    do: str
    model: int
    points: tuple[str, ...]


RATINGS = (
    Rating(ln_class="DGEN", do="WMaxRtg", model=702, points=("WMaxRtg", "WMax")),
    Rating(ln_class="DGEN", do="VAMaxRtg", model=702, points=("VAMaxRtg", "VAMax")),
    Rating(ln_class="DGEN", do="VarMaxSupRtg", model=702, points=("VarMaxInjRtg", "VarMaxInj")),
    Rating(ln_class="DGEN", do="VarMaxAbsRtg", model=702, points=("VarMaxAbsRtg", "VarMaxAbs")),
    Rating(ln_class="DSTO", do="ChaWMaxRtg", model=702, points=("WChaRteMaxRtg", "WChaRteMax")),
    Rating(ln_class="DECP", do="VRef", model=702, points=("VNomRtg", "VNom")),
    Rating(ln_class="DSTO", do="WhRtg", model=713, points=("WHRtg",)),
)
"""Nameplate: configured in the file, not sent."""
