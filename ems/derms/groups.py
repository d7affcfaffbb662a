"""The groups that devices are in, and how often devices shall ask and report."""

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from ems.clock import Clock
from ems.derms import elements
from ems.derms.checks import known_keys, mrid_faults, writable
from ems.derms.keeping import Keeper
from ems.derms.kept import PEN, Kept
from ems.derms.served import Conflict, Device, Group, NotFound, Rates
from ems.errors import BadInput, Fault
from ems.protocols.ieee2030_5 import identity

FIRST_GROUP = 2
"""Assignment 1 of every device holds the programs it is assigned to without a group."""
_GROUP_MAY_CHANGE = frozenset({"description", "programs", "mrid"})
MOST_RATE_S = 0xFFFF_FFFF
"""Bits of pollRate and postRate."""
_MOST_DESCRIPTION = 32
"""Characters of a description in the schema."""


class Groups(Kept):
    """Groups and rates."""

    def __init__(
        self, keeper: Keeper | None = None, clock: Clock | None = None, *, pen: int = PEN
    ) -> None:
        super().__init__(keeper, clock, pen=pen)
        self._groups: dict[str, Group] = {}
        self._mrids: set[str] = set()
        self.rates = Rates(poll_s=30, post_s=60)
        for kept in self.keeper.documents("group"):
            held = json.loads(kept.body or "")
            description = writable(held["description"])
            held |= {"programs": tuple(held["programs"]), "description": description}
            group = Group(**held)
            self._groups[group.name] = group
            self._mrids.add(group.mrid)
        for kept in self.keeper.documents("rates"):
            self.rates = Rates(**json.loads(kept.body or ""))

    def groups(self) -> tuple[Group, ...]:
        """All of them, by number."""
        return tuple(self._groups.values())

    def group(self, name: str) -> Group:
        """The group of that name.

        Raises:
            NotFound: there is none.
        """
        if name not in self._groups:
            raise NotFound(f"there is no group {name!r}")
        return self._groups[name]

    def add_group(
        self, name: str, *, programs: Iterable[str] = (), description: str = "", mrid: str = ""
    ) -> Group:
        """Make a group of programs that devices are assigned to together.

        Raises:
            BadInput: with every fault.
            Conflict: a group or a program has this name.
        """
        if name in self._groups or self._is_program(name):
            raise Conflict(f"a group or a program {name!r} exists")
        group = Group(
            number=1 + max((g.number for g in self._groups.values()), default=FIRST_GROUP - 1),
            name=name,
            mrid=self._new_mrid(mrid),
            description=description or name[:_MOST_DESCRIPTION],
            version=0,
            programs=tuple(programs),
        )
        return self._store_group(group)

    def change_group(self, name: str, **changes: Any) -> Group:
        """Change the programs, the description or the mRID of a group.

        Raises:
            NotFound: there is no such group.
            BadInput: with every fault.
        """
        before = self.group(name)
        known_keys(changes, _GROUP_MAY_CHANGE, f"group {name!r}")
        if "programs" in changes:
            changes["programs"] = tuple(changes["programs"])
        group = replace(before, **changes)
        if group == before:
            return before
        return self._store_group(replace(group, version=elements.next_version(before.version)))

    def remove_group(self, name: str) -> Group:
        """Drop a group; its devices leave it.

        Raises:
            NotFound: there is no such group.
        """
        group = self.group(name)
        self._leave(name)
        del self._groups[name]
        self._mrids.discard(group.mrid)
        self.assigned += 1
        self._keep(self._drop("group", name))
        self.tell("/edev")
        return group

    # Rates

    def set_rates(self, *, poll_s: int | None = None, post_s: int | None = None) -> Rates:
        """How often devices shall ask and report from now on [s].

        Raises:
            BadInput: a rate that is no whole number of seconds above 0.
        """
        rates = Rates(
            poll_s=self.rates.poll_s if poll_s is None else poll_s,
            post_s=self.rates.post_s if post_s is None else post_s,
        )
        faults = [
            Fault(
                place=f"rates.{name}",
                problem=f"{value} is no number of seconds from 1 to {MOST_RATE_S}",
            )
            for name, value in asdict(rates).items()
            if not 0 < value <= MOST_RATE_S
        ]
        if faults:
            raise BadInput(faults)
        self.rates = rates
        self._keep(self._put("rates", "rates", asdict(rates)))
        self.tell("/dcap")
        return rates

    def mrid(self) -> str:
        """A new one."""
        return identity.mrid(pen=self.pen)

    # What stands behind it

    def _new_mrid(self, mrid: str) -> str:
        wanted = (mrid or self.mrid()).upper()
        if wanted in self._mrids:
            raise Conflict(f"mRID {wanted} is taken")
        return wanted

    def _is_program(self, name: str) -> bool:
        raise NotImplementedError

    def _members_of(self, group: str) -> list[Device]:
        """The devices that are in a group."""
        raise NotImplementedError

    def _leave(self, group: str) -> None:
        """Take all devices out of a group."""
        raise NotImplementedError

    def _store_group(self, group: Group) -> Group:
        place = f"group {group.name!r}"
        faults = mrid_faults(group.mrid, place)
        faults += [
            Fault(place=f"{place}: programs", problem=f"there is no program {name!r}")
            for name in group.programs
            if not self._is_program(name)
        ]
        faults = faults or elements.faults_of(place, lambda: elements.group(group))
        if faults:
            raise BadInput(faults)
        self._groups[group.name] = group
        self._mrids.add(group.mrid)
        self.assigned += 1
        self._keep(self._put("group", group.name, asdict(group)))
        members = self._members_of(group.name)
        self.tell("/edev", *(f"/edev/{device.number}/fsa" for device in members))
        return group
