"""The curves that controls link to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ems.derms import elements
from ems.derms.checks import known_keys, mrid_faults, writable
from ems.derms.kept import Kept
from ems.derms.served import Conflict, Curve, NotFound
from ems.errors import BadInput, Fault
from ems.protocols.ieee2030_5 import modes, sep

_MOST_POINTS = 10
"""Points of a curve in the schema."""
_PLAIN = 2
"""Members of a point that has no excitation."""
_MOST_DESCRIPTION = 32
_CURVE_MAY_CHANGE = frozenset(
    {"description", "type", "x_multiplier", "y_multiplier", "y_ref_type", "points", "options"}
)
Point = tuple[int, int] | tuple[int, int, bool]


class Curves:
    """DERCurves."""

    def __init__(self, kept: Kept) -> None:
        """Take up what was kept."""
        self._kept = kept
        self._curves: dict[str, Curve] = {}
        self._curve_names: dict[int, str] = {}
        for document in kept.keeper.documents("curve"):
            self._index_curve(_curve(json.loads(document.body or "")))

    def curves(self) -> tuple[Curve, ...]:
        """All of them, by number."""
        return tuple(self._curves.values())

    def has(self, name: str) -> bool:
        """Whether there is one of that name."""
        return name in self._curves

    def curve(self, name: str) -> Curve:
        """The curve of that name.

        Raises:
            NotFound: there is none.
        """
        if name not in self._curves:
            raise NotFound(f"there is no curve {name!r}")
        return self._curves[name]

    def curve_by_number(self, number: int) -> Curve | None:
        """The curve at /dc/{number}."""
        name = self._curve_names.get(number)
        return None if name is None else self._curves[name]

    def add_curve(
        self,
        name: str,
        *,
        type: int,  # noqa: A002  the element's name
        points: Sequence[Point],
        x_multiplier: int = 0,
        y_multiplier: int = 0,
        y_ref_type: int = 0,
        description: str = "",
        mrid: str = "",
        options: Mapping[str, int | bool] | None = None,
    ) -> Curve:
        """Make a curve; its `href` is what a DERControlBase links to.

        Raises:
            BadInput: with every fault.
            Conflict: another curve has the name, or something else the mRID.
        """
        if name in self._curves:
            raise Conflict(f"a curve {name!r} exists")
        curve = Curve(
            number=self._kept.next("curve"),
            name=name,
            mrid=self._kept.new_mrid(mrid),
            description=description or name[:_MOST_DESCRIPTION],
            version=0,
            created=self._kept.now(),
            type=type,
            x_multiplier=x_multiplier,
            y_multiplier=y_multiplier,
            y_ref_type=y_ref_type,
            points=tuple(points),
            options=tuple((options or {}).items()),
        )
        return self._store_curve(curve)

    def change_curve(self, name: str, **changes: Any) -> Curve:
        """Change a curve.

        Raises:
            NotFound: there is no such curve.
            BadInput: with every fault.
        """
        before = self.curve(name)
        known_keys(changes, _CURVE_MAY_CHANGE, f"curve {name!r}")
        if "options" in changes:
            changes["options"] = tuple(dict(changes["options"]).items())
        if "points" in changes:
            changes["points"] = tuple(tuple(point) for point in changes["points"])
        curve = replace(before, **changes)
        return (
            before
            if curve == before
            else self._store_curve(replace(curve, version=elements.next_version(before.version)))
        )

    def remove_curve(self, name: str) -> Curve:
        """Drop a curve.

        Raises:
            NotFound: there is no such curve.
        """
        curve = self.curve(name)
        del self._curves[name], self._curve_names[curve.number]
        self._kept.mrids.discard(curve.mrid)
        self._kept.keep(self._kept.drop("curve", name), *self._kept.retired("curve", curve.number))
        self._kept.tell("/dc", curve.href)
        return curve

    def check_base(self, base: sep.DERControlBase, place: str) -> None:
        """The curves that a base links to are there, each of the type of its mode.

        Raises:
            BadInput: with every fault.
        """
        faults = []
        linked = links(base)
        curves = {curve.href: curve for curve in self._curves.values()} if linked else {}
        for mode, href in linked:
            curve = curves.get(href)
            if curve is None:
                problem = f"there is no curve at {href!r}"
            elif curve.type != modes.curve_type(mode):
                problem = (
                    f"curve {curve.name!r} is of type {curve.type}; "
                    f"{mode} takes one of type {modes.curve_type(mode)}"
                )
            else:
                continue
            faults.append(Fault(place=f"{place}: {mode}", problem=problem))
        if faults:
            raise BadInput(faults)

    # What stands behind it

    def _store_curve(self, curve: Curve) -> Curve:
        place = f"curve {curve.name!r}"
        faults = mrid_faults(curve.mrid, place)
        if not 0 <= curve.type < len(modes.CURVE_TYPES):
            problem = f"{curve.type} is no DERCurveType"
            faults.append(Fault(place=f"{place}: type", problem=problem))
        if not 1 <= len(curve.points) <= _MOST_POINTS:
            problem = f"{len(curve.points)} points; a curve has 1 to {_MOST_POINTS}"
            faults.append(Fault(place=f"{place}: points", problem=problem))
        faults += _point_faults(curve, f"{place}: points")
        faults = faults or elements.faults_of(place, lambda: elements.curve(curve))
        if faults:
            raise BadInput(faults)
        self._index_curve(curve)
        self._kept.keep(self._kept.put("curve", curve.name, asdict(curve)))
        self._kept.tell("/dc", curve.href)
        return curve

    def _index_curve(self, curve: Curve) -> None:
        self._kept.taken("curve", curve.number)
        self._curves[curve.name] = curve
        self._curve_names[curve.number] = curve.name
        self._kept.mrids.add(curve.mrid)


def links(base: sep.DERControlBase | None) -> list[tuple[str, str]]:
    """Modes of a base that link to a curve, with the path."""
    if base is None:
        return []
    found = ((mode, getattr(base, mode)) for mode in modes.CURVE_TYPES)
    return [(mode, link.href) for mode, link in found if link is not None]


def _point_faults(curve: Curve, place: str) -> list[Fault]:
    """What single points are, and must not be beside the others."""
    points = curve.points
    faults = [
        Fault(
            place=f"{place}[{i}]",
            problem=f"x {points[i][0]} is less than that of the point before; put them in order",
        )
        for i in range(1, len(points))
        if points[i][0] < points[i - 1][0]
    ]
    sides = [len(point) > _PLAIN for point in points]
    if any(sides) and curve.type != modes.curve_type("opModWattPF"):
        faults.append(Fault(place=place, problem="an excitation belongs to watt_pf; leave it out"))
    elif any(sides) and not all(sides):
        faults.append(Fault(place=place, problem="give each point its excitation, or none of them"))
    return faults


def _curve(held: dict[str, Any]) -> Curve:
    points = tuple(tuple(point) for point in held["points"])
    options = tuple((name, value) for name, value in held["options"])
    description = writable(held["description"])
    return Curve(**held | {"points": points, "options": options, "description": description})
