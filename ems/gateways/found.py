"""What a device on the network says of itself: nameplate, kind, ratings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ems.domain import DeviceAddress
from ems.gateways.der1xx import CONTROLS, INVERTERS, STORAGE
from ems.gateways.image import Chain, Image, fetch, spans
from ems.gateways.meter import METERS
from ems.gateways.modbus import ModbusLink
from ems.gateways.quantities import first
from ems.protocols.sunspec import ModelBlock, counts_of, model

Kind = Literal["pv", "bes", "dg", "load", "other"]
PV_STORAGE = 82
"""DERTyp of model 120."""
_WANTED = (1, 101, 102, 103, 120, 121, 123, 124, 160, 701, 702, 704, 713, 802, 803)


@dataclass(frozen=True, slots=True, kw_only=True)
class DcInput:
    """One input of a PV inverter, model 160."""

    name: str
    p_kw: float | None
    """Power it takes at present [kW]."""
    v: float | None
    """Its voltage [V]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nameplate:
    """Who made it, model 1."""

    manufacturer: str = ""
    model: str = ""
    version: str = ""
    serial: str = ""

    @property
    def who(self) -> str:
        """Maker, model and version in one line."""
        return " ".join(t for t in (self.manufacturer, self.model, self.version) if t)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """What it can do; None where it does not say."""

    rated_kw: float | None = None
    q_max_kvar: float | None = None
    """What it may inject and absorb alike [kvar]."""
    s_max_kva: float | None = None
    capacity_kwh: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One SunSpec device."""

    address: DeviceAddress
    kind: Kind
    """`load` for a meter, `other` for what GEEMS has no use for."""
    models: tuple[int, ...]
    """Its models, in order."""
    base: int
    """Address of the marker."""
    nameplate: Nameplate
    ratings: Ratings
    phases: int = 3
    newest: bool = False
    """Models of the 700 series, whose controls fall back to values of their own."""
    dc_inputs: tuple[DcInput, ...] = ()
    also_units: tuple[int, ...] = ()
    """Other units that are the same device."""

    @property
    def only_read(self) -> str:
        """Why it takes no commands; empty where it does, and for a meter, which takes none."""
        if self.newest or self.kind in ("load", "other"):
            return ""
        older = STORAGE if self.kind == "bes" else CONTROLS
        if older in self.models:
            return ""
        newest = "models 701, 702 and 704 together" if 704 in self.models else "model 704"
        return f"has neither {newest} nor {older}: it can only be read"


async def describe(link: ModbusLink, address: DeviceAddress, chain: Chain) -> Found:
    """Read what a device says of itself.

    Raises:
        DeviceError: it does not answer.
    """
    blocks: dict[int, ModelBlock] = {}
    for model_id in (m for m in _WANTED if m in chain):
        place = chain.place(model_id)
        image = await fetch(link, spans(chain, {model_id: place.size}, merged=False))
        blocks[model_id] = _block(model_id, image, chain)
    newest = {701, 702, 704} <= blocks.keys()
    return Found(
        address=address,
        kind=_kind(blocks, chain, newest=newest),
        models=tuple(p.id for p in chain.places),
        base=chain.base,
        nameplate=_nameplate(blocks[1]) if 1 in blocks else Nameplate(),
        ratings=(_newest if newest else _older)(blocks, link.place),
        phases=_phases(blocks, chain),
        newest=newest,
        dc_inputs=_dc_inputs(blocks[160], link.place) if 160 in blocks else (),
    )


def _nameplate(common: ModelBlock) -> Nameplate:
    return Nameplate(
        manufacturer=common.text("Mn"),
        model=common.text("Md"),
        version=common.text("Vr"),
        serial=common.text("SN"),
    )


def _block(model_id: int, image: Image, chain: Chain) -> ModelBlock:
    place = chain.place(model_id)
    registers = image.at(place.start, place.size)
    counts: Mapping[str, int] = {}
    if model_id == 160:
        try:
            counts = counts_of(model_id, registers)
        except ValueError:  # its length fits no whole number of modules: its head still counts
            counts = {}
    return ModelBlock(model(model_id, counts), registers)


def _kind(blocks: Mapping[int, ModelBlock], chain: Chain, *, newest: bool) -> Kind:
    """PV, storage, generator or meter, by the models it has and the controls it implements."""
    inverter = newest or any(m in blocks for m in INVERTERS)
    if not inverter:
        return "load" if any(m in chain for m in METERS) else "other"
    stores = any(m in blocks for m in (713, 802, 803))
    stores |= 124 in blocks and blocks[124].raw("WChaMax") is not None
    stores |= 120 in blocks and blocks[120].raw("DERTyp") == PV_STORAGE
    if stores:
        return "bes"
    if (
        newest
        and blocks[704].raw("WMaxLimPctEna") is None
        and blocks[704].raw("WSetEna") is not None
    ):
        return "dg"
    return "pv"


def _newest(blocks: Mapping[int, ModelBlock], place: str) -> Ratings:
    capacity = blocks[702]
    inject = first(capacity, place, "VarMaxInjRtg", "VarMaxInj")
    absorb = first(capacity, place, "VarMaxAbsRtg", "VarMaxAbs")
    storage = blocks.get(713)
    return Ratings(
        rated_kw=_kilo(first(capacity, place, "WMaxRtg", "WMax")),
        q_max_kvar=_kilo(_least(inject, absorb)),
        s_max_kva=_kilo(first(capacity, place, "VAMaxRtg", "VAMax")),
        capacity_kwh=None if storage is None else _kilo(first(storage, place, "WHRtg")),
    )


def _older(blocks: Mapping[int, ModelBlock], place: str) -> Ratings:
    def found(*points: tuple[int, str]) -> float | None:
        for model_id, name in points:
            value = first(blocks[model_id], place, name) if model_id in blocks else None
            if value is not None:
                return value
        return None

    inject = found((120, "VArRtgQ1"), (121, "VArMaxQ1"))
    absorb = _magnitude(blocks, (120, "VArRtgQ4"), (121, "VArMaxQ4"))
    return Ratings(
        rated_kw=_kilo(found((120, "WRtg"), (121, "WMax"))),
        q_max_kvar=_kilo(_least(inject, absorb)),
        s_max_kva=_kilo(found((120, "VARtg"), (121, "VAMax"))),
        capacity_kwh=_kilo(found((802, "WHRtg"), (120, "WHRtg"))),
    )


def _magnitude(blocks: Mapping[int, ModelBlock], *points: tuple[int, str]) -> float | None:
    """Absorption is written with either sign."""
    for model_id, name in points:
        value = blocks[model_id].value(name) if model_id in blocks else None
        if value:
            return abs(value)
    return None


def _phases(blocks: Mapping[int, ModelBlock], chain: Chain) -> int:
    if 701 in blocks:
        symbols = model(701).points["ACType"].symbols
        kinds = {symbols["SINGLE_PHASE"]: 1, symbols["SPLIT_PHASE"]: 2}
        kind = blocks[701].raw("ACType")
        return 3 if kind is None else kinds.get(kind, 3)
    if 101 in chain:
        return 1
    return 2 if 102 in chain else 3


def _dc_inputs(block: ModelBlock, place: str) -> tuple[DcInput, ...]:
    found = []
    for i in range(1, block.model.counts.get("module", 0) + 1):
        watts, volts = f"module[{i}].DCW", f"module[{i}].DCV"
        name = block.text(f"module[{i}].IDStr") or str(block.raw(f"module[{i}].ID") or i)
        p_w = first(block, place, watts)
        found.append(DcInput(name=name, p_kw=_kilo(p_w), v=first(block, place, volts)))
    return tuple(found)


def _least(a: float | None, b: float | None) -> float | None:
    known = [x for x in (a, b) if x is not None]
    return min(known, default=None)


def _kilo(value: float | None) -> float | None:
    return None if value is None else value / 1000
