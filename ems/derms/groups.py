"""The groups that devices are in."""

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from ems.derms import elements
from ems.derms.checks import known_keys, mrid_faults, writable
from ems.derms.kept import Kept
from ems.derms.programs import Programs
from ems.derms.registry import Registry
from ems.derms.served import Conflict, Group, NotFound
from ems.errors import BadInput, Fault

FIRST_GROUP = 2
"""Assignment 1 of every device holds the programs it is assigned to without a group."""
_GROUP_MAY_CHANGE = frozenset({"description", "programs", "mrid"})
_MOST_DESCRIPTION = 32
"""Characters of a description in the schema."""


class Groups:
    """Groups."""

    def __init__(self, kept: Kept, programs: Programs, registry: Registry, names: set[str]) -> None:
        """Take up what was kept.

        Args:
            kept: what all parts share.
            programs: that groups hold.
            registry: of the devices that are in them.
            names: of programs and groups.
        """
        self._kept, self._programs, self._registry, self._names = kept, programs, registry, names
        self._groups: dict[str, Group] = {}
        kept.taken("group", FIRST_GROUP - 1)
        for document in kept.keeper.documents("group"):
            held = json.loads(document.body or "")
            description = writable(held["description"])
            held |= {"programs": tuple(held["programs"]), "description": description}
            self._index_group(Group(**held))

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
        if name in self._names:
            raise Conflict(f"a group or a program {name!r} exists")
        group = Group(
            number=self._kept.next("group"),
            name=name,
            mrid=self._kept.new_mrid(mrid),
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
        self._registry.leave(name)
        del self._groups[name]
        self._names.discard(name)
        self._kept.mrids.discard(group.mrid)
        self._kept.assigned += 1
        self._kept.keep(self._kept.drop("group", name), *self._kept.retired("group", group.number))
        self._kept.tell("/edev")
        return group

    def programs_of(self, name: str) -> tuple[str, ...]:
        """Names of the programs of a group; a program is one by itself."""
        return self._groups[name].programs if name in self._groups else (name,)

    def leave_out(self, program: str) -> None:
        """Take a program out of all groups."""
        for group in self.groups():
            if program in group.programs:
                left = [name for name in group.programs if name != program]
                self.change_group(group.name, programs=left)

    # What stands behind it

    def _store_group(self, group: Group) -> Group:
        place = f"group {group.name!r}"
        faults = mrid_faults(group.mrid, place)
        faults += [
            Fault(place=f"{place}: programs", problem=f"there is no program {name!r}")
            for name in group.programs
            if not self._programs.has(name)
        ]
        faults = faults or elements.faults_of(place, lambda: elements.group(group))
        if faults:
            raise BadInput(faults)
        self._index_group(group)
        self._kept.assigned += 1
        self._kept.keep(self._kept.put("group", group.name, asdict(group)))
        members = self._registry.members_of(group.name)
        self._kept.tell("/edev", *(f"/edev/{device.number}/fsa" for device in members))
        return group

    def _index_group(self, group: Group) -> None:
        self._kept.taken("group", group.number)
        self._groups[group.name] = group
        self._names.add(group.name)
        self._kept.mrids.add(group.mrid)
