"""WireSpacingInfo, OverheadWireInfo and cable data → LineSpacing, WireData, CNData, TSData.

Lengths and resistances are per metre, as CIM has them.
"""

from feeders.cim.document import CimObject
from feeders.cim.naming import Names, fmt
from feeders.cim.reading import Reading

IN_METRES = "Runits=m radunits=m GMRunits=m"


class Wires:
    """Wire and spacing data, made when a line asks."""

    def __init__(self, reading: Reading) -> None:
        self._r = reading
        self._names = Names()
        self._made: dict[tuple[str, int], str] = {}
        self.statements: list[str] = []

    def spacing(self, of: CimObject, phases: int) -> tuple[str, int] | None:
        """Name of the spacing, and its number of conductors; None where it has none."""
        r = self._r
        positions = sorted(
            r.behind("WirePosition.WireSpacingInfo", of, "WirePosition"),
            key=lambda p: r.number(p, "WirePosition.sequenceNumber"),
        )
        if len(positions) < phases:
            r.fault(of, f"has {len(positions)} WirePositions for a line of {phases} phases")
            return None
        key = (of.uri, phases)
        if key not in self._made:
            name = self._names.give(of.name)
            x = " ".join(fmt(r.number(p, "WirePosition.xCoord")) for p in positions)
            h = " ".join(fmt(r.number(p, "WirePosition.yCoord")) for p in positions)
            self.statements.append(
                f"New LineSpacing.{name} nconds={len(positions)} nphases={phases} units=m "
                f"x=[{x}] h=[{h}]"
            )
            self._made[key] = name
        return self._made[key], len(positions)

    def wire(self, of: CimObject) -> tuple[str, str]:
        """Property of a line that takes such wires, and the wire's name."""
        make = {
            "OverheadWireInfo": ("wires", "WireData", self._bare),
            "ConcentricNeutralCableInfo": ("cncables", "CNData", self._concentric),
            "TapeShieldCableInfo": ("tscables", "TSData", self._tape),
        }
        if of.kind not in make:
            self._r.fault(of, "is no wire or cable that is known; use OverheadWireInfo, …")
            return "wires", "none"
        listed, kind, properties = make[of.kind]
        key = (of.uri, 0)
        if key not in self._made:
            self._made[key] = self._names.give(of.name)
            self.statements.append(
                f"New {kind}.{self._made[key]} {self._conductor(of)} {properties(of)}".rstrip()
            )
        return listed, self._made[key]

    def rated_a(self, of: CimObject) -> float:
        """Ampacity of a wire; 0 where the file has none [A]."""
        return max(0.0, self._r.number(of, "WireInfo.ratedCurrent", 0.0))

    def _conductor(self, of: CimObject) -> str:
        r = self._r
        rac = r.number(of, "WireInfo.rAC25", r.number(of, "WireInfo.rAC50", 0.0))
        rdc = r.number(of, "WireInfo.rDC20", rac)
        radius = r.above_zero(of, "WireInfo.radius")
        gmr = r.number(of, "WireInfo.gmr", 0.7788 * radius)  # of a solid round conductor
        return (
            f"Rac={fmt(rac or rdc)} Rdc={fmt(rdc)} GMRac={fmt(gmr)} radius={fmt(radius)} "
            f"{IN_METRES} normamps={fmt(self.rated_a(of))}"
        )

    def _bare(self, of: CimObject) -> str:  # noqa: ARG002 - one of three of the same form
        return ""

    def _cable(self, of: CimObject) -> str:
        r = self._r
        return (
            f"EpsR={fmt(r.number(of, 'CableInfo.relativePermittivity', 2.3))} "
            f"InsLayer={fmt(r.above_zero(of, 'WireInfo.insulationThickness'))} "
            f"DiaIns={fmt(r.above_zero(of, 'CableInfo.diameterOverInsulation'))} "
        )

    def _concentric(self, of: CimObject) -> str:
        r, own = self._r, "ConcentricNeutralCableInfo"
        strand = r.above_zero(of, f"{own}.neutralStrandRadius")
        # Over the screen and one strand on either side, if nothing else is said.
        over = r.number(of, "CableInfo.diameterOverScreen", 0.0) + 4.0 * strand
        cable = r.number(of, f"{own}.diameterOverNeutral", over)
        return self._cable(of) + (
            f"DiaCable={fmt(cable)} k={fmt(r.above_zero(of, f'{own}.neutralStrandCount'))} "
            f"DiaStrand={fmt(2.0 * strand)} "
            f"GmrStrand={fmt(r.above_zero(of, f'{own}.neutralStrandGmr'))} "
            f"RStrand={fmt(r.above_zero(of, f'{own}.neutralStrandRDC20'))}"
        )

    def _tape(self, of: CimObject) -> str:
        r, own = self._r, "TapeShieldCableInfo"
        tape = r.above_zero(of, f"{own}.tapeThickness")
        shield = r.above_zero(of, "CableInfo.diameterOverScreen")
        return self._cable(of) + (
            f"DiaShield={fmt(shield + 2.0 * tape)} TapeLayer={fmt(tape)} "
            f"TapeLap={fmt(r.number(of, f'{own}.tapeLap', 20.0))}"
        )
