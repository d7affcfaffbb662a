"""How `ieee123_secondaries.dss` is made from `ieee123.dss`.

Every spot load, one phase of one bus, gives way to a service transformer, and its power to the
customers behind it. All else of the feeder stays. The draw is seeded with the transformer's
name, so a transformer has the same customers whatever else changes.

Write the file anew with `python -m feeders.ieee123_secondaries.customers`.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

PRIMARY = Path(__file__).parents[1] / "ieee123" / "ieee123.dss"
OWN = Path(__file__).with_name("ieee123_secondaries.dss")

RATINGS_KVA = (25, 50, 75, 100, 167)
"""Usual ratings of single-phase service transformers; the smallest that carries the load."""
R_PCT, X_PCT = 1.0, 2.0
"""Impedance of a service transformer over its full 240 V winding [% of its rating], a usual
value. For the two half windings: high side R/2 + j 0.8 X, each half R + j 0.4 X (the interlaced
design; W. H. Kersting, Distribution System Modeling and Analysis, on center-tapped
transformers)."""
CUSTOMER_KW = 8.0
"""What a customer has on average [kW]."""
CUSTOMERS = (3, 8)
"""Fewest and most customers of a transformer."""
SPREAD = (0.6, 1.4)
"""A customer's share before scaling to the spot load, drawn evenly."""
DROP_FT = (40, 100)
"""Length of a customer's own drop, drawn evenly in steps of 5 [ft]."""
LEGS = ".1.2"
"""The two 120 V legs of a secondary bus."""

HEAD = """\
! ieee123_secondaries: ieee123 with service transformers and customers for its spot loads.
! Written by feeders/ieee123_secondaries/customers.py; change that, not this.
!
! Behind each spot load, that is one phase of one bus such as 35a, now stand
! - xfmr_35a, single-phase, center-tapped, 120/240 V; line to line where the spot load is delta
! - sec_35a, its secondary: node 1 and node 2 are the two 120 V legs
! - drop_35a_1, drop_35a_2, ...: one triplex each from sec_35a to a customer
! - cust_35a_1, ...: the customers' own buses; load_35a_1, ...: their loads at 240 V, across
!   both legs, of the spot load's model and power factor; together the spot load.
! The primary and its source are those of ieee123.dss, whose head follows. Transformer and drop
! impedances, ratings, and the number and share of the customers are not published: see there.
!
"""
TRIPLEX = """\
! 1/0 AA triplex: 0.97 ohm per mile, GMR 0.0111 ft, 0.368 in over the strands, 80 mil of
! insulation, neutral of the same size. Carson's equations, neutral reduced (Kersting, there).
New LineCode.triplex nphases=2 units=mi normamps=205 emergamps=256
~ rmatrix=[1.5268 | 0.5568 1.5268]
~ xmatrix=[0.6117 | 0.4446 0.6117]
~ cmatrix=[0 | 0 0]
"""
LOAD = re.compile(
    r"New Load\.load_(?P<bus>\d+)(?P<phase>[abc]?) bus1=\d+(?P<nodes>[.\d]+) phases=(?P<phases>\d)"
    r" conn=(?P<conn>\w+) kV=[\d.]+ model=(?P<model>\d) kW=(?P<kw>[\d.]+) kvar=(?P<kvar>[\d.]+)"
    r" (?P<limits>.+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotLoad:
    """One phase of a spot load of the primary feeder."""

    name: str
    """Bus and phase: `35a`."""
    bus: str
    """Primary bus with its nodes: `35.1.2`."""
    delta: bool
    model: str
    """Model number of the engine, as in the file."""
    kw: float
    kvar: float
    limits: str
    """Voltages between which the model holds, as in the file."""


def spot_loads(line: str) -> Iterator[SpotLoad]:
    """Spot loads in one line of the primary's file, a balanced three-phase one as three.

    Raises:
        ValueError: a load is written in another form than the rest.
    """
    if not line.startswith("New Load."):
        return
    found = LOAD.fullmatch(line)
    if found is None:
        raise ValueError(f"{PRIMARY.name}: {line!r} is not written as the other loads are")
    three = found["phases"] == "3"
    for i, phase in enumerate("abc" if three else found["phase"], start=1):
        yield SpotLoad(
            name=found["bus"] + phase,
            bus=found["bus"] + (f".{i}" if three else found["nodes"]),
            delta=found["conn"] == "delta",
            model=found["model"],
            kw=float(found["kw"]) / (3 if three else 1),
            kvar=float(found["kvar"]) / (3 if three else 1),
            limits=found["limits"],
        )


def transformer(load: SpotLoad) -> str:
    """The service transformer of a spot load."""
    kva = math.hypot(load.kw, load.kvar)
    rated = next(r for r in RATINGS_KVA if r >= kva)
    kv, conn = ("4.16", "delta") if load.delta else ("2.4018", "wye")
    return (
        f"New Transformer.xfmr_{load.name} phases=1 windings=3 "
        f"buses=[{load.bus} sec_{load.name}.1.0 sec_{load.name}.0.2] "
        f"conns=[{conn} wye wye] kVs=[{kv} 0.12 0.12] kVAs=[{rated} {rated} {rated}] "
        f"%Rs=[{R_PCT / 2:g} {R_PCT:g} {R_PCT:g}] "
        f"XHL={1.2 * X_PCT:g} XHT={1.2 * X_PCT:g} XLT={0.8 * X_PCT:g}"
    )


def customers(load: SpotLoad) -> Iterator[str]:
    """The drops of a transformer, each with its customer."""
    draw = Random(f"xfmr_{load.name}")  # noqa: S311  shares, no secrets
    fewest, most = CUSTOMERS
    count = min(max(round(load.kw / CUSTOMER_KW), fewest), most)
    weights = [SPREAD[0] + (SPREAD[1] - SPREAD[0]) * draw.random() for _ in range(count)]
    steps = (DROP_FT[1] - DROP_FT[0]) // 5
    lengths = [DROP_FT[0] + 5 * int(draw.random() * (steps + 1)) for _ in range(count)]
    kws, kvars = (_shares(total, weights) for total in (load.kw, load.kvar))
    for i, (length, kw, kvar) in enumerate(zip(lengths, kws, kvars, strict=True), start=1):
        bus = f"cust_{load.name}_{i}"
        yield (
            f"New Line.drop_{load.name}_{i} phases=2 bus1=sec_{load.name}{LEGS} "
            f"bus2={bus}{LEGS} linecode=triplex length={length} units=ft"
        )
        yield (
            f"New Load.load_{load.name}_{i} bus1={bus}{LEGS} phases=1 conn=wye kV=0.24 "
            f"model={load.model} kW={kw:.3f} kvar={kvar:.3f} {load.limits}"
        )


def _shares(total: float, weights: list[float]) -> list[float]:
    """`total` in proportion to `weights`, in thousandths; the last takes what rounding leaves."""
    shares = [round(total * w / sum(weights), 3) for w in weights[:-1]]
    return [*shares, round(total - sum(shares), 3)]


def text() -> str:
    """The whole feeder file."""
    lines: list[str] = [HEAD.rstrip("\n")]
    for line in PRIMARY.read_text(encoding="utf-8").splitlines():
        replaced = list(spot_loads(line))
        for load in replaced:
            lines += [transformer(load), *customers(load)]
        if not replaced:
            lines.append(_kept(line))
    return "\n".join(lines) + "\n"


def _kept(line: str) -> str:
    """A line of the primary, as the feeder with secondaries has it."""
    if line.startswith("New Circuit."):
        return line.replace("ieee123", "ieee123_secondaries", 1)
    if line.startswith("Set VoltageBases"):
        return "Set VoltageBases=[4.16 0.48 0.208]"  # a leg has 0.208/√3 = 0.12 kV to ground
    if line.startswith("! Spot loads"):
        return TRIPLEX + "\n" + line
    return line


if __name__ == "__main__":
    OWN.write_text(text(), encoding="utf-8")
