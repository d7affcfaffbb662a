"""RatioTapChanger and TapChangerControl → tap of a winding and RegControl."""

from dataclasses import dataclass

from feeders.cim.document import CimObject
from feeders.cim.naming import fmt
from feeders.cim.topology import NODES, Topology

PRIMARY_VOLTS = 600.0
"""A target above this is meant on the primary side of the potential transformer [V]."""
MOST_STEPS = 1000
"""A changer with more is taken for a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TapChanger:
    """The tap of one winding."""

    text: str
    """As properties of the winding."""
    mrid: str = ""
    control: str = ""
    """Properties of the RegControl; empty where the tap stays as it is."""


def tap_changer(t: Topology, end: CimObject, transformer: str, winding: int) -> TapChanger | None:
    """Tap changer of a winding; None where it has none."""
    r = t.reading
    found = r.behind("RatioTapChanger.TransformerEnd", end, "RatioTapChanger")
    if not found:
        return None
    changer = found[0]
    step_pct = r.number(changer, "RatioTapChanger.stepVoltageIncrement")
    high = round(r.number(changer, "TapChanger.highStep", 16.0))
    low = round(r.number(changer, "TapChanger.lowStep", -16.0))
    neutral = r.number(changer, "TapChanger.neutralStep", 0.0)
    step = r.number(changer, "TapChanger.step", r.number(changer, "TapChanger.normalStep", neutral))
    if not (0 < high - low <= MOST_STEPS and low <= step <= high):
        r.fault(
            changer,
            f"step {step:g} is not within lowStep {low:.6g} and highStep {high:.6g} "
            f"(at most {MOST_STEPS} steps apart)",
        )
        return None
    turns = [1.0 + (s - neutral) * step_pct / 100.0 for s in (step, low, high)]
    if min(turns) <= 0.0:
        r.fault(changer, f"stepVoltageIncrement {step_pct:g} % makes a tap of 0 turns or less")
        return None
    text = (
        f"MinTap={fmt(min(turns))} MaxTap={fmt(max(turns))} NumTaps={high - low} "
        f"Tap={fmt(turns[0])}"
    )
    control = r.target(changer, "TapChanger.TapChangerControl", needed=False)
    moves = (
        control is not None
        and r.flag(control, "RegulatingControl.enabled", True)
        and r.flag(changer, "TapChanger.controlEnabled", True)
    )
    if control is None or not moves:
        return TapChanger(text=text)
    properties = _control(t, changer, control, end)
    return TapChanger(
        text=text,
        mrid=control.mrid,
        control=f"transformer={transformer} winding={winding} {properties}",
    )


def _control(t: Topology, changer: CimObject, control: CimObject, end: CimObject) -> str:
    r = t.reading
    ratio = r.above_zero(changer, "TapChanger.ptRatio")
    target = r.above_zero(control, "RegulatingControl.targetValue")
    band = r.above_zero(control, "RegulatingControl.targetDeadband")
    if target > PRIMARY_VOLTS:
        target, band = target / ratio, band / ratio
    text = f"vreg={fmt(target)} band={fmt(band)} ptratio={fmt(ratio)}"
    rating = r.number(changer, "TapChanger.ctRating", 0.0)
    if rating > 0.0 and r.flag(control, "TapChangerControl.lineDropCompensation", False):
        drop = [r.number(control, f"TapChangerControl.lineDrop{x}", 0.0) for x in ("R", "X")]
        text += f" CTprim={fmt(rating)} R={fmt(drop[0])} X={fmt(drop[1])}"
    text += f" delay={fmt(r.number(changer, 'TapChanger.initialDelay', 15.0))}"
    text += f" tapdelay={fmt(r.number(changer, 'TapChanger.subsequentDelay', 2.0))}"
    phase = r.code(control, "RegulatingControl.monitoredPhase")
    if end.kind == "PowerTransformerEnd" and phase in ("A", "B", "C"):
        text += f" ptphase={NODES[phase][0]}"
    return text + _elsewhere(t, control, end, phase)


def _elsewhere(t: Topology, control: CimObject, end: CimObject, phase: str) -> str:
    """The bus whose voltage is held, where that is not the winding's own."""
    watched = t.reading.target(control, "RegulatingControl.Terminal", needed=False)
    own = t.reading.target(end, "TransformerEnd.Terminal", needed=False)
    if watched is None or own is None or watched.uri == own.uri:
        return ""
    there, here = t.end(watched), t.end(own)
    if there.bus == here.bus:
        return ""
    return f" bus={there.bus}.{NODES.get(phase, (1,))[0]}"
