"""The programs and their defaults."""

import json
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from ems.clock import Clock
from ems.derms import elements
from ems.derms.checks import known_keys, mrid_faults, writable
from ems.derms.curves import Curves, links
from ems.derms.keeping import Keeper
from ems.derms.kept import PEN
from ems.derms.served import Conflict, Device, NotFound, Program
from ems.errors import BadInput, Fault
from ems.protocols.ieee2030_5 import codec, sep

_MOST_DESCRIPTION = 32
_PROGRAM_MAY_CHANGE = frozenset({"description", "primacy", "mrid", "curves"})


class Programs(Curves):
    """DERPrograms and DefaultDERControls."""

    def __init__(
        self, keeper: Keeper | None = None, clock: Clock | None = None, *, pen: int = PEN
    ) -> None:
        super().__init__(keeper, clock, pen=pen)
        self._programs: dict[str, Program] = {}
        self._program_names: dict[int, str] = {}
        self._assigned: tuple[int, dict[int, frozenset[int]]] = (-1, {})
        self._managed_programs: tuple[int, dict[str, frozenset[int]]] = (-1, {})
        for kept in self.keeper.documents("program"):
            self._index_program(_program(json.loads(kept.body or "")))

    def programs(self) -> tuple[Program, ...]:
        """All of them, by number."""
        return tuple(self._programs.values())

    def program(self, name: str) -> Program:
        """The program of that name.

        Raises:
            NotFound: there is none.
        """
        if name not in self._programs:
            raise NotFound(f"there is no program {name!r}")
        return self._programs[name]

    def program_by_number(self, number: int) -> Program | None:
        """The program at /derp/{number}."""
        name = self._program_names.get(number)
        return None if name is None else self._programs[name]

    def programs_of(self, device: Device) -> frozenset[int]:
        """Numbers of the programs that a device is assigned to, by a group or without one."""
        version, known = self._assigned
        if version != self.assigned:
            known = {}
            self._assigned = (self.assigned, known)
        found = known.get(device.number)
        if found is None:
            names: set[str] = set()
            for name in device.groups:
                names.update(self._groups[name].programs if name in self._groups else (name,))
            found = frozenset(self._programs[name].number for name in names)
            known[device.number] = found
        return found

    def programs_managed(self, lfdi: str) -> frozenset[int]:
        """Numbers of the programs that the devices of an aggregator are assigned to."""
        version, known = self._managed_programs
        if version != self.assigned:
            known = {}
            self._managed_programs = (self.assigned, known)
        found = known.get(lfdi)
        if found is None:
            found = frozenset().union(*(self.programs_of(d) for d in self.managed_by(lfdi)))
            known[lfdi] = found
        return found

    def members(self, program: str) -> tuple[Device, ...]:
        """The devices that are assigned to a program.

        Raises:
            NotFound: there is no such program.
        """
        number = self.program(program).number
        return tuple(d for d in self.devices() if number in self.programs_of(d))

    def add_program(
        self,
        name: str,
        *,
        primacy: int,
        description: str = "",
        mrid: str = "",
        curves: Iterable[str] = (),
    ) -> Program:
        """Make a program; `set_default` and `publish` fill it, `change_device` assigns it.

        Raises:
            BadInput: with every fault.
            Conflict: a program or a group has the name, or something else the mRID.
        """
        if name in self._programs or name in self._groups:
            raise Conflict(f"a program or a group {name!r} exists")
        program = Program(
            number=self._next("program"),
            name=name,
            mrid=self._new_mrid(mrid),
            description=description or name[:_MOST_DESCRIPTION],
            primacy=primacy,
            version=0,
            created=self.now(),
            default=None,
            curves=tuple(curves),
        )
        return self._store_program(program)

    def change_program(self, name: str, **changes: Any) -> Program:
        """Change the description, the primacy, the mRID or the curves of a program.

        Raises:
            NotFound: there is no such program.
            BadInput: with every fault.
        """
        before = self.program(name)
        known_keys(changes, _PROGRAM_MAY_CHANGE, f"program {name!r}")
        if "curves" in changes:
            changes["curves"] = tuple(changes["curves"])
        program = replace(before, **changes)
        return before if program == before else self._store_program(newer(program))

    def remove_program(self, name: str) -> Program:
        """Drop a program that has no control in force or to come; devices and groups leave it.

        Raises:
            NotFound: there is no such program.
            Conflict: a control has not ended; cancel it first, devices must hear of it.
        """
        program = self.program(name)
        self._before_removal(name)
        for device in self.devices():
            if name in device.groups:
                self.change_device(device.name, groups=[g for g in device.groups if g != name])
        for group in self.groups():
            if name in group.programs:
                self.change_group(group.name, programs=[p for p in group.programs if p != name])
        del self._programs[name], self._program_names[program.number]
        self._mrids.discard(program.mrid)
        self.assigned += 1
        self._keep(self._drop("program", name))
        self.tell("/derp", f"/derp/{program.number}")
        return program

    def set_default(
        self,
        name: str,
        base: sep.DERControlBase | None,
        *,
        description: str = "",
        mrid: str = "",
        **settings: int,
    ) -> Program:
        """What holds in a program while no control does; None takes it away.

        Args:
            name: of the program.
            base: what holds.
            description: at most 32 characters.
            mrid: the present one, or a new one, unless given.
            **settings: setESDelay, setGradW … by their names.

        Raises:
            NotFound: there is no such program.
            BadInput: with every fault.
        """
        before = self.program(name)
        default = None
        if base is not None:
            self._check_base(base, f"program {name!r}: default")
            old = before.default
            elements_of: dict[str, Any] = {
                "mRID": mrid or (old.mRID if old else self.mrid()),
                "description": description or (old.description if old else None),
                "version": (old.version or 0) if old else 0,
                "DERControlBase_": base,
                **settings,
            }
            faults = elements.faults_of(
                f"program {name!r}: default", lambda: sep.DefaultDERControl(**elements_of)
            )
            if faults:
                raise BadInput(faults)
            default = sep.DefaultDERControl(**elements_of)
            if old and default == old:
                return before
            default.version = elements.next_version(old.version or 0) if old else 0
        program = replace(before, default=default, curves=self._with_linked(before, base))
        stored = self._store_program(newer(program))
        self.tell(f"/derp/{stored.number}/dderc")
        return stored

    # What stands behind it

    def _is_program(self, name: str) -> bool:
        return name in self._programs

    def _users_of(self, curve: str) -> list[str]:
        return [program.name for program in self.programs() if curve in program.curves]

    def _curve_changed(self, curve: str) -> None:
        self.tell(*(f"/derp/{p.number}/dc" for p in self.programs() if curve in p.curves))

    def _before_removal(self, program: str) -> None:
        """Refuse it, or clear what the program has."""
        raise NotImplementedError

    def _with_linked(self, program: Program, base: sep.DERControlBase | None) -> tuple[str, ...]:
        """The program's curves and those that the base links to."""
        linked = {href for _, href in links(base)}
        if not linked:
            return program.curves
        more = (c.name for c in self.curves() if c.href in linked and c.name not in program.curves)
        return (*program.curves, *more)

    def _store_program(self, program: Program) -> Program:
        place = f"program {program.name!r}"
        faults = mrid_faults(program.mrid, place)
        if not program.name:
            faults.append(Fault(place="program", problem="it needs a name"))
        if not 0 <= program.primacy <= 0xFF:
            problem = f"{program.primacy} does not lie within 0…255"
            faults.append(Fault(place=f"{place}: primacy", problem=problem))
        if len(program.description) > _MOST_DESCRIPTION:
            problem = f"more than {_MOST_DESCRIPTION} characters"
            faults.append(Fault(place=f"{place}: description", problem=problem))
        faults += [
            Fault(place=f"{place}: curves", problem=f"there is no curve {name!r}")
            for name in program.curves
            if name not in self._curves
        ]
        faults = faults or elements.faults_of(place, lambda: elements.program(program))
        if faults:
            raise BadInput(faults)
        self._index_program(program)
        self._keep(self._put("program", program.name, plain(program)))
        self.tell("/derp", f"/derp/{program.number}")
        return program

    def _index_program(self, program: Program) -> None:
        self.assigned += program.name not in self._programs
        self._taken("program", program.number)
        self._programs[program.name] = program
        self._program_names[program.number] = program.name
        self._mrids.add(program.mrid)


def newer(program: Program) -> Program:
    """The program with the next version."""
    return replace(program, version=elements.next_version(program.version))


def plain(thing: object) -> dict[str, Any]:
    """Fields of a dataclass as JSON has them; what is XML as XML."""
    held = {field.name: getattr(thing, field.name) for field in fields(thing)}  # type: ignore[arg-type]  # a dataclass
    for name in ("base", "default"):
        if held.get(name) is not None:
            held[name] = codec.encode(held[name]).decode()
    return held


def _program(held: dict[str, Any]) -> Program:
    default = held["default"]
    held["default"] = default and codec.decode(default.encode(), sep.DefaultDERControl)
    description = writable(held["description"])
    return Program(**held | {"curves": tuple(held["curves"]), "description": description})
