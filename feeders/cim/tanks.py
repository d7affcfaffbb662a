"""Nameplate of a transformer tank: TransformerTankInfo, its ends and its two tests."""

import math
from itertools import combinations

from feeders.cim.document import CimObject
from feeders.cim.naming import fmt
from feeders.cim.reading import Reading
from feeders.cim.windings import Plate, Winding, clock_leads

INFO = "TransformerEndInfo"
SHORT, OPEN = "ShortCircuitTest", "NoLoadTest"


def plate_of(reading: Reading, info: CimObject) -> Plate | None:
    """The nameplate; None, and faults, where it does not suffice."""
    r = reading
    plates = sorted(
        r.behind(f"{INFO}.TransformerTankInfo", info, INFO),
        key=lambda p: r.number(p, f"{INFO}.endNumber"),
    )
    if len(plates) < 2:
        r.fault(info, f"has {len(plates)} TransformerEndInfo; give one for each winding")
        return None
    windings = [_winding(r, p) for p in plates]
    reactances = []
    for a, b in combinations(range(len(plates)), 2):
        x = _reactance_pct(r, plates, windings, a, b)
        if x is None:
            r.fault(info, f"has no ShortCircuitTest of windings {a + 1} and {b + 1}; give it")
        reactances.append(x or 0.0)
    loss, exciting = _no_load_pct(r, plates, windings[0].kva * 1e3)
    normal = r.number(plates[0], f"{INFO}.shortTermS", 0.0) / 1e3
    emergency = r.number(plates[0], f"{INFO}.emergencyS", 0.0) / 1e3
    rating = ""
    if normal > 0.0:
        rating = f" normhkVA={fmt(normal)} emerghkVA={fmt(max(normal, emergency))}"
    return Plate(
        windings=tuple(windings),
        reactances_pct=tuple(reactances),
        no_load_pct=loss,
        magnetising_pct=math.sqrt(max(0.0, exciting**2 - loss**2)),
        rating_text=rating,
    )


def _winding(r: Reading, plate: CimObject) -> Winding:
    volts = r.above_zero(plate, f"{INFO}.ratedU")
    va = r.above_zero(plate, f"{INFO}.ratedS")
    kind = r.code(plate, f"{INFO}.connectionKind")
    if kind not in ("I", "D", "Y", "Yn"):
        r.fault(plate, f"connectionKind is {kind or 'missing'}; I, D and Y are known")
    return Winding(
        is_delta=kind == "D",
        is_single=kind == "I",
        kv=volts / 1e3,
        kva=va / 1e3,
        r_pct=r.number(plate, f"{INFO}.r", 0.0) * va / volts**2 * 100.0,
        leads=kind != "I" and clock_leads(r, plate, f"{INFO}.phaseAngleClock"),
    )


def _reactance_pct(
    r: Reading, plates: list[CimObject], windings: list[Winding], a: int, b: int
) -> float | None:
    """Leakage reactance between two windings on the first winding's rating [%]."""
    for energised, grounded in ((a, b), (b, a)):
        for test in r.behind(f"{SHORT}.EnergisedEnd", plates[energised], SHORT):
            if plates[grounded].uri not in test.links.get(f"{SHORT}.GroundedEnds", ()):
                continue
            kv = windings[energised].kv
            z_ohm = r.number(test, f"{SHORT}.leakageImpedance")
            base_va = r.number(test, "TransformerTest.basePower", windings[energised].kva * 1e3)
            loss_w = r.number(test, f"{SHORT}.loss", 0.0) * 1e3
            to_pct = windings[0].kva / (kv**2 * 1e3) * 100.0
            z = z_ohm * to_pct
            # The test's loss is that at its base power; on the first winding's rating the
            # resistance is in proportion.
            resistance = loss_w / base_va * 100.0 * (windings[0].kva * 1e3 / base_va)
            return math.sqrt(max(0.0, z**2 - resistance**2))
    return None


def _no_load_pct(r: Reading, plates: list[CimObject], first_va: float) -> tuple[float, float]:
    """No-load loss and exciting current on the first winding's rating [%]."""
    for plate in plates:
        for test in r.behind(f"{OPEN}.EnergisedEnd", plate, OPEN):
            base_va = r.number(test, "TransformerTest.basePower", first_va)
            loss_w = r.number(test, f"{OPEN}.loss", 0.0) * 1e3
            exciting = r.number(test, f"{OPEN}.excitingCurrent", 0.0)
            return loss_w / first_va * 100.0, exciting * base_va / first_va
    return 0.0, 0.0
