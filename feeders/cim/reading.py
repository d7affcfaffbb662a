"""Reads values and references out of a CIM document, and remembers all that is wrong."""

import math
from collections import defaultdict
from collections.abc import Iterable

from feeders.cim.document import CimDocument, CimObject
from feeders.cim.naming import shown
from feeders.errors import FeederFault

SHOWN_FAULTS = 20
"""More than this in one message is not read."""


class Reading:
    """One pass over a document: what is missing or no number is a fault, told at the end."""

    def __init__(self, document: CimDocument) -> None:
        self.document = document
        self.faults: list[str] = []
        self.warnings: list[str] = []
        self._behind: dict[tuple[str, str], list[CimObject]] = defaultdict(list)
        for x in document.of_kind(*{x.kind for x in document.objects.values()}):
            for attribute, uris in x.links.items():
                for uri in uris:
                    self._behind[attribute, uri].append(x)

    def number(self, of: CimObject, attribute: str, default: float | None = None) -> float:
        """A finite number; a fault, and 0, where it is missing without a default or none."""
        texts = of.literals.get(attribute, ())
        if not texts:
            if default is None:
                self.fault(of, f"{attribute} is missing; give it a number")
                return 0.0
            return default
        values = [_finite(t) for t in texts]
        if None in values:
            self.fault(of, f"{attribute} is {shown(texts[0])}, not a finite number")
            return 0.0
        # An exporter may write an attribute twice; the larger one is the one that was meant.
        return max((v for v in values if v is not None), key=abs)

    def above_zero(self, of: CimObject, attribute: str) -> float:
        """A number above 0; a fault, and 1, where it is not."""
        before = len(self.faults)
        value = self.number(of, attribute)
        if value > 0.0:
            return value
        if len(self.faults) == before:
            self.fault(of, f"{attribute} is {value:g}; give a value above 0")
        return 1.0

    def flag(self, of: CimObject, attribute: str, default: bool) -> bool:
        """`true` or `false`."""
        text = of.literals.get(attribute, ("",))[0].strip().lower()
        if text in ("true", "1"):
            return True
        if text in ("false", "0"):
            return False
        if text:
            self.fault(of, f"{attribute} is {shown(text)}; give true or false")
        return default

    def code(self, of: CimObject, attribute: str) -> str:
        """Enumerated value without its kind: `A` of `SinglePhaseKind.A`; empty if missing."""
        uri = of.links.get(attribute, ("",))[0]
        return uri.rpartition("#")[2].rpartition(".")[2]

    def target(self, of: CimObject, attribute: str, *, needed: bool = True) -> CimObject | None:
        """The object referred to; a fault where it is not in the file, or missing and needed."""
        uris = of.links.get(attribute, ())
        if not uris:
            if needed:
                self.fault(of, f"{attribute} is missing; it must refer to an object of the file")
            return None
        found = self.document.objects.get(uris[0])
        if found is None:
            self.fault(
                of,
                f"{attribute} refers to {shown(uris[0])}, which is not in the file; "
                "export the whole feeder",
            )
        return found

    def behind(self, attribute: str, of: CimObject, *kinds: str) -> list[CimObject]:
        """Objects that refer to one by an attribute, in the order of their names."""
        return [x for x in self._behind.get((attribute, of.uri), []) if x.kind in kinds]

    def fault(self, of: CimObject, problem: str) -> None:
        """Remember a fault of one object."""
        self.faults.append(f"{spelled(of)}: {problem}")

    def warn(self, of: CimObject, remark: str) -> None:
        """Remember what the user should know about one object."""
        self.warnings.append(f"{spelled(of)}: {remark}")

    def finish(self) -> None:
        """Tell all faults at once.

        Raises:
            FeederFault: there are any.
        """
        told = list(dict.fromkeys(self.faults))
        if told:
            more = len(told) - SHOWN_FAULTS
            tail = [f"and {more} more"] if more > 0 else []
            raise FeederFault(
                "; ".join([f"{self.document.path}: {told[0]}", *told[1:SHOWN_FAULTS], *tail])
            )


def spelled(of: CimObject) -> str:
    """Class, name and mRID, printable."""
    return f"{of.kind} {shown(of.name)} (mRID {shown(of.mrid)})"


def same_mrid(one: str, other: str) -> bool:
    """Whether two mRIDs are the same: case, a leading `_` and `urn:uuid:` do not matter."""
    return bare(one) == bare(other)


def candidates(of: Iterable[CimObject]) -> str:
    """Objects to choose from, for a message."""
    return ", ".join(f"{shown(x.mrid)} ({shown(x.name)})" for x in of)


def bare(mrid: str) -> str:
    """An mRID as it is compared."""
    return mrid.strip().lower().removeprefix("urn:uuid:").lstrip("_#")


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
