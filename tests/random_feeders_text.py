"""Random small feeders as OpenDSS text: buses, lines, transformers and loads of plausible size."""

from dataclasses import dataclass, field

import numpy as np

PRIMARIES_KV = (4.16, 12.47)
PARTS = ("1", "2", "3", "12", "13", "23", "123")
"""Phases that a lateral may carry."""
PRIMARY_KV = 1.0
"""Above it a bus is of the primary [kV]."""
CENTRE_TAPPED = "XHL=2.04 XHT=2.04 XLT=1.36 %Rs=[0.6 1.2 1.2]"


@dataclass(slots=True, kw_only=True)
class Bus:
    name: str
    phases: str
    kv: float
    """Line to line; of a split-phase bus, leg to leg [kV]."""
    kva: float
    """What the bus can plausibly carry [kVA]."""
    split: bool = False

    def dots(self, phases: str = "") -> str:
        return ".".join([self.name, *(phases or self.phases)])

    def kv_of(self, phases: str, *, between: bool = False) -> float:
        """Rated voltage of what stands on some of its phases [kV]."""
        if self.split:
            return self.kv if between else self.kv / 2
        return self.kv if len(phases) > 1 else round(self.kv / 3**0.5, 6)


@dataclass(slots=True, kw_only=True)
class Sketch:
    """A feeder while it is being drawn."""

    rng: np.random.Generator
    lines: list[str]
    buses: list[Bus] = field(default_factory=list)
    total_kw: float = 0.0

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def between(self, lo: float, hi: float) -> float:
        return float(self.rng.uniform(lo, hi))

    def pick(self, *options: float) -> float:
        return float(self.rng.choice(options))


def sketched(rng: np.random.Generator) -> Sketch:
    """A feeder without DERs."""
    s = Sketch(rng=rng, lines=["Clear"])
    kv = s.pick(*PRIMARIES_KV)
    feeder_kva = s.between(300.0, 1500.0) if kv == min(PRIMARIES_KV) else s.between(500.0, 5000.0)
    _source(s, kv, feeder_kva)
    for i in range(1, int(s.rng.integers(2, 10))):
        _primary(s, i, kv)
    for i in range(int(s.rng.integers(0, 4))):
        _secondary(s, i)
    _loads(s)
    s.lines += [f"Set VoltageBases=[{kv:g} 0.4 0.208]", "CalcVoltageBases"]
    return s


def _source(s: Sketch, kv: float, kva: float) -> None:
    mva = kva / 1e3 * s.between(8.0, 60.0)
    s.lines.append(
        f"New Circuit.random bus1=N0 basekV={kv:g} pu={s.between(0.98, 1.05):.4f} phases=3 "
        f"MVAsc3={mva:.1f} MVAsc1={0.9 * mva:.1f}"
    )
    first = Bus(name="N0", phases="123", kv=kv, kva=kva)
    if s.chance(0.25):
        first = _regulated(s, first)
    s.buses.append(first)


def _regulated(s: Sketch, at: Bus) -> Bus:
    """A regulator behind a bus: one for all phases, or one for each."""
    volts, band = s.between(119.0, 124.0), s.pick(2.0, 3.0)
    ratio = 1e3 * at.kv / 3**0.5 / 120.0
    whole = s.chance(0.5)
    for phases in ("123",) if whole else tuple("123"):
        name = f"reg{'' if whole else phases}"
        kv = at.kv_of(phases)
        s.lines.append(
            f"New Transformer.{name} phases={len(phases)} windings=2 "
            f"buses=[{at.dots(phases)} NR.{'.'.join(phases)}] conns=[wye wye] "
            f"kVs=[{kv:g} {kv:g}] kVAs=[{2 * at.kva:.0f} {2 * at.kva:.0f}] XHL=0.5 "
            "%LoadLoss=0.02 ppm_antifloat=0"
        )
        s.lines.append(
            f"New RegControl.{name} transformer={name} winding=2 vreg={volts:.1f} "
            f"band={band:g} ptratio={ratio:.4f}"
        )
    return Bus(name="NR", phases="123", kv=at.kv, kva=at.kva)


def _primary(s: Sketch, i: int, kv: float) -> None:
    """One more bus of the primary, behind a line."""
    # Mostly behind the last, so that feeders grow long.
    above = s.buses[-1 if s.chance(0.6) else int(s.rng.integers(len(s.buses)))]
    phases = above.phases
    if s.chance(0.35):
        phases = str(s.rng.choice([p for p in PARTS if set(p) <= set(above.phases)]))
    bus = Bus(name=f"N{i}", phases=phases, kv=kv, kva=above.kva * len(phases) / 3.0)
    r1, x1 = s.between(0.15, 0.6), s.between(0.3, 0.45)
    amps = s.between(0.8, 2.5) * above.kva / (3**0.5 * kv)
    s.lines.append(
        f"New Line.l{i} bus1={above.dots(phases)} bus2={bus.dots()} phases={len(phases)} "
        f"units=km length={s.between(0.3, 4.0) * kv / 12.47:.3f} r1={r1:.3f} x1={x1:.3f} "
        f"r0={2.0 * r1:.3f} x0={3.0 * x1:.3f} c1=9 c0=5 normamps={amps:.0f}"
    )
    s.buses.append(Bus(name=bus.name, phases=phases, kv=kv, kva=max(above.kva * 0.8, 60.0)))


def _secondary(s: Sketch, i: int) -> None:
    """A service transformer and the cable behind it."""
    primaries = [b for b in s.buses if b.kv > PRIMARY_KV]
    at = primaries[int(s.rng.integers(len(primaries)))]
    if len(at.phases) == len("123") and s.chance(0.5):
        kva, conn = s.pick(100.0, 200.0, 400.0), "delta" if s.chance(0.5) else "wye"
        s.lines.append(
            f"New Transformer.t{i} phases=3 windings=2 buses=[{at.dots()} T{i}.1.2.3] "
            f"conns=[{conn} wye] kVs=[{at.kv:g} 0.4] kVAs=[{kva:g} {kva:g}] XHL=4 %LoadLoss=1.2"
        )
        cable, phases, kv = "r1=0.21 x1=0.08 r0=0.8 x0=0.3 c1=0 c0=0", "123", 0.4
        amps = 1.3 * kva / (3**0.5 * kv)
    else:
        kva, leg = s.pick(25.0, 50.0, 75.0), str(s.rng.choice(list(at.phases)))
        s.lines.append(
            f"New Transformer.t{i} phases=1 windings=3 buses=[{at.dots(leg)} T{i}.1.0 T{i}.0.2] "
            f"conns=[wye wye wye] kVs=[{at.kv_of(leg):g} 0.12 0.12] "
            f"kVAs=[{kva:g} {kva:g} {kva:g}] {CENTRE_TAPPED}"
        )
        cable, phases, kv = "r1=0.3 x1=0.1 r0=0.6 x0=0.25 c1=0 c0=0", "12", 0.24
        amps = 1.3 * kva / kv
    split = phases == "12"
    dots = ".".join(phases)
    s.lines.append(
        f"New Line.s{i} bus1=T{i}.{dots} bus2=C{i}.{dots} phases={len(phases)} units=km "
        f"length={s.between(0.01, 0.06 if split else 0.15):.3f} {cable} normamps={amps:.0f}"
    )
    s.buses += [Bus(name=f"{name}{i}", phases=phases, kv=kv, kva=kva, split=split) for name in "TC"]


def _loads(s: Sketch) -> None:
    primary = [b for b in s.buses[1:] if b.kv > PRIMARY_KV] or s.buses[:1]
    share_kw = s.between(0.25, 0.9) * s.buses[0].kva / len(primary)
    for b in s.buses:
        if b.kv > PRIMARY_KV and b in primary and s.chance(0.8):
            _load(s, b, share_kw * s.between(0.2, 1.8) * len(b.phases) / 3.0)
        elif b.name.startswith("C"):
            for _ in range(int(s.rng.integers(1, 4))):
                _load(s, b, s.between(0.05, 0.35) * b.kva)
        if b.kv > PRIMARY_KV and s.chance(0.12):
            kvar = 50.0 * s.rng.integers(1, 7)
            s.lines.append(
                f"New Capacitor.c{b.name} bus1={b.dots()} phases={len(b.phases)} "
                f"kV={b.kv_of(b.phases):g} kvar={min(kvar, 0.4 * b.kva):.0f}"
            )
    if s.total_kw <= 0.0:
        _load(s, s.buses[-1], 0.3 * s.buses[-1].kva)


def _load(s: Sketch, b: Bus, kw: float) -> None:
    phases = b.phases
    if len(phases) > 1 and s.chance(0.4):
        phases = str(s.rng.choice([p for p in PARTS if set(p) <= set(b.phases)]))
    between = len(phases) == len("12") and (not b.split or s.chance(0.6)) and s.chance(0.5)
    if b.split and len(phases) == len("12") and not between:
        phases = phases[0]
    delta = between or (len(phases) == len("123") and s.chance(0.35))
    count = 1 if between else len(phases)
    tan = np.tan(np.arccos(s.between(0.85, 1.0)))
    s.lines.append(
        f"New Load.d{len(s.lines)} bus1={b.dots(phases)} phases={count} "
        f"conn={'delta' if delta else 'wye'} kV={b.kv_of(phases, between=between):g} "
        f"kW={kw:.2f} kvar={kw * tan:.2f} model={s.rng.choice([1, 1, 2, 5])} "
        f"vminpu={s.pick(0.7, 0.8, 0.88)} vmaxpu=1.2"
    )
    s.total_kw += kw
