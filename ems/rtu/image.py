"""The SunSpec models of one IED: which ones it has, and their scale factors."""

import math
from collections.abc import Iterable, Mapping

from ems.errors import BadInput, Fault
from ems.protocols.scl import RATINGS, Control, IedModel, LogicalNode
from ems.protocols.scl.carried import Key
from ems.protocols.scl.common import SINGLE_PHASE, SPLIT_PHASE
from ems.protocols.scl.rated import number
from ems.protocols.sunspec import ModelBlock, model, smallest_scale_factor

INT16_MAX, UINT16_MAX = 32767, 65534
FLOAT32_WHOLE = 1 << 24
"""Largest count up to which single precision, which setpoints travel in, is exact."""
METER, CONTROLS_AC = 203, 704
V_HEADROOM = 1.3
"""Highest voltage shown, in nominal ones: the largest setting of IEEE 1547-2018, table 13, is
1.20 pu."""
HEADROOM = 1.5
"""Largest power shown, in ratings: what does not fit its register reads as not available."""
WATTS, VARS = 1, 4
"""WSetMod and VarSetMod: setpoints in watts and vars, the only ones that are forwarded."""
LOAD_CLASS = "DLOD"


def is_load(ied: IedModel) -> bool:
    """Whether an IED stands for loads, and for nothing that generates."""
    classes = {node.ln_class for node in _nodes(ied)}
    return "DGEN" not in classes and LOAD_CLASS in classes


def settings(ied: IedModel) -> dict[tuple[str, str], float]:
    """Configured numbers by class of node and data object; the first node of a class counts.

    Raises:
        BadInput: one is no finite number.
    """
    found: dict[tuple[str, str], float] = {}
    faults = []
    for node in _nodes(ied):
        for name, text in _texts(node):
            value = number(text)
            if value is not None:
                found.setdefault((node.ln_class, name), value)
            else:
                place = f"{ied.name}: {node.name}.{name}.setMag.f"
                faults.append(Fault(place=place, problem=f"'{text}' is no finite number"))
    if faults:
        raise BadInput(faults)
    return found


def _nodes(ied: IedModel) -> Iterable[LogicalNode]:
    return (node for device in ied.devices for node in device.nodes)


def _texts(node: LogicalNode) -> Iterable[tuple[str, str]]:
    for made in node.objects:
        for attribute in made.attributes:
            if attribute.name == "setMag":
                for part in attribute.parts:
                    if part.name == "f" and part.value is not None:
                        yield made.name, part.value


def blocks_of(ied: IedModel, told: Iterable[Key]) -> dict[int, ModelBlock]:
    """The models of an IED by their identifiers, in chain order.

    Args:
        ied: what is shown.
        told: points that are sent, either way.

    Raises:
        BadInput: a rating is missing, or is no number; scale factors are made of them.
    """
    rated = settings(ied)
    needed = [("DPCC", "WRtg")] if is_load(ied) else [("DGEN", "WMaxRtg"), ("DECP", "VRef")]
    missing = [
        Fault(
            place=ied.name,
            problem=f"no value of {ln_class}.{do}.setMag.f; give it in a DOI, scale factors are "
            "made of it",
        )
        for ln_class, do in needed
        if rated.get((ln_class, do), 0.0) <= 0
    ]
    if missing:
        raise BadInput(missing)
    return _meter(ied, rated["DPCC", "WRtg"]) if is_load(ied) else _der(ied, told, rated)


def _meter(ied: IedModel, rated_w: float) -> dict[int, ModelBlock]:
    meter = ModelBlock(model(METER))
    # Twice the nominal loads: a meter must show what it was not built for, too.
    sf = smallest_scale_factor(2 * rated_w, INT16_MAX)
    for name in ("W_SF", "VAR_SF", "VA_SF"):
        meter.set_raw(name, sf)
    return {1: _common(ied), METER: meter}


def _der(
    ied: IedModel, told: Iterable[Key], rated: Mapping[tuple[str, str], float]
) -> dict[int, ModelBlock]:
    """Those of which something is told, and the ratings."""
    models = {1, 701, 702, *(model_id for model_id, _ in told)}
    if ("DSTO", "WhRtg") in rated:
        models.add(713)
    blocks = {m: ModelBlock(model(m)) for m in sorted(models)}
    blocks[1] = _common(ied)
    _scale(blocks, rated)
    blocks[701].set_raw("ACType", model(701).points["ACType"].symbols[connection(ied)])
    for rating in RATINGS:
        value = rated.get((rating.ln_class, rating.do))
        for point in rating.points if rating.model in blocks else ():
            blocks[rating.model].set_value(point, value)
    return blocks


def _scale(blocks: Mapping[int, ModelBlock], rated: Mapping[tuple[str, str], float]) -> None:
    """All scale factors, as fine as the ratings allow."""
    w = rated["DGEN", "WMaxRtg"]
    var = max(rated.get(("DGEN", do), 0.0) for do in ("VarMaxSupRtg", "VarMaxAbsRtg"))
    va = max(rated.get(("DGEN", "VAMaxRtg"), 0.0), math.hypot(w, var))
    v = V_HEADROOM * rated["DECP", "VRef"]
    for model_id, largest, more in ((701, INT16_MAX, HEADROOM), (702, UINT16_MAX, 1.0)):
        factors = {
            "W_SF": smallest_scale_factor(more * w, largest),
            "VA_SF": smallest_scale_factor(more * va, largest),
            "Var_SF": smallest_scale_factor(more * (var or va), largest),
            "V_SF": smallest_scale_factor(v, UINT16_MAX, finest=-2),
        }
        for name, sf in factors.items():
            blocks[model_id].set_raw(name, sf)
    blocks[701].set_raw("Hz_SF", -3)
    if 122 in blocks:
        blocks[122].set_raw("WAval_SF", smallest_scale_factor(HEADROOM * w, UINT16_MAX))
    if 713 in blocks:
        wh = rated.get(("DSTO", "WhRtg"), 0.0)
        blocks[713].set_raw("WH_SF", smallest_scale_factor(wh, UINT16_MAX))
        blocks[713].set_raw("Pct_SF", -2)
    if CONTROLS_AC in blocks:
        controls = blocks[CONTROLS_AC]
        controls.set_raw("WMaxLimPct_SF", -2)
        controls.set_raw("WSet_SF", smallest_scale_factor(w, FLOAT32_WHOLE))
        controls.set_raw("VarSet_SF", smallest_scale_factor(var or va, FLOAT32_WHOLE))
        controls.set_raw("WSetPct_SF", -2)
        controls.set_raw("VarSetPct_SF", -2)


def _common(ied: IedModel) -> ModelBlock:
    block = ModelBlock(model(1))
    texts = {"Mn": ied.manufacturer, "Md": ied.ied_type, "Vr": ied.config_version, "SN": ied.name}
    for point, text in texts.items():
        block.set_text(point, text or "unknown")
    return block


def connection(ied: IedModel) -> str:
    """The ACType of model 701, after PhsConnTyp; three phases where that is not told."""
    kinds = {SINGLE_PHASE: "SINGLE_PHASE", SPLIT_PHASE: "SPLIT_PHASE"}
    for node in _nodes(ied):
        for made in node.objects:
            for attribute in made.attributes:
                if made.name == "PhsConnTyp" and attribute.value is not None:
                    names = {name: ordinal for ordinal, name in attribute.symbols}
                    return kinds.get(names.get(attribute.value, 0), "THREE_PHASE")
    return "THREE_PHASE"


def standing_points(control: Control) -> dict[str, int]:
    """Points of a control's block that are not forwarded, and the one value they hold."""
    if control.block is None:
        return {}
    forwarded = {mapped.point for mapped in control.points}
    held = {"WSetMod": WATTS, "VarSetMod": VARS}
    return {p.name: held.get(p.name, 0) for p in control.block.points if p.name not in forwarded}
