"""The programs and their defaults."""

import json
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from ems.derms import elements
from ems.derms.checks import known_keys, mrid_faults, writable
from ems.derms.curves import Curves, links
from ems.derms.kept import Kept
from ems.derms.served import Conflict, NotFound, Program
from ems.errors import BadInput, Fault
from ems.protocols.ieee2030_5 import codec, sep

_MOST_DESCRIPTION = 32
_LATELY_S = 86_400
"""For how long it is known which primacy a program had [s]."""
_PROGRAM_MAY_CHANGE = frozenset({"description", "primacy", "mrid", "curves"})


class Programs:
    """DERPrograms and DefaultDERControls."""

    def __init__(self, kept: Kept, curves: Curves, names: set[str]) -> None:
        """Take up what was kept.

        Args:
            kept: what all parts share.
            curves: that programs list.
            names: of programs and groups.
        """
        self._kept, self._curves, self._names = kept, curves, names
        self._programs: dict[str, Program] = {}
        self._program_names: dict[int, str] = {}
        for document in kept.keeper.documents("program"):
            self._index_program(_program(json.loads(document.body or "")))

    def has(self, name: str) -> bool:
        """Whether there is one of that name."""
        return name in self._programs

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
        if name in self._names:
            raise Conflict(f"a program or a group {name!r} exists")
        program = Program(
            number=self._kept.next("program"),
            name=name,
            mrid=self._kept.new_mrid(mrid),
            description=description or name[:_MOST_DESCRIPTION],
            primacy=primacy,
            version=0,
            created=self._kept.now(),
            default=None,
            curves=tuple(curves),
        )
        return self.store(program)

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
        if changes.get("primacy", before.primacy) != before.primacy:
            now = self._kept.now()
            lately = [one for one in before.primacies if one[0] > now - _LATELY_S]
            changes["primacies"] = (*lately, (now, before.primacy))
        program = replace(before, **changes)
        return before if program == before else self.store(newer(program))

    def remove_program(self, name: str) -> Program:
        """Drop a program to which nobody is assigned any more.

        Raises:
            NotFound: there is no such program.
        """
        program = self.program(name)
        del self._programs[name], self._program_names[program.number]
        self._names.discard(name)
        self._kept.mrids.discard(program.mrid)
        self._kept.assigned += 1
        self._kept.keep(
            self._kept.drop("program", name), *self._kept.retired("program", program.number)
        )
        self._kept.tell("/derp", f"/derp/{program.number}")
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
            self._curves.check_base(base, f"program {name!r}: default")
            old = before.default
            elements_of: dict[str, Any] = {
                "mRID": mrid or (old.mRID if old else self._kept.mrid()),
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
        program = replace(before, default=default, curves=self.with_linked(before, base))
        stored = self.store(newer(program))
        self._kept.tell(f"/derp/{stored.number}/dderc")
        return stored

    def users_of(self, curve: str) -> list[Program]:
        """The programs that list a curve."""
        return [program for program in self.programs() if curve in program.curves]

    def with_linked(self, program: Program, base: sep.DERControlBase | None) -> tuple[str, ...]:
        """The program's curves and those that the base links to."""
        linked = {href for _, href in links(base)}
        if not linked:
            return program.curves
        more = (
            c.name
            for c in self._curves.curves()
            if c.href in linked and c.name not in program.curves
        )
        return (*program.curves, *more)

    def store(self, program: Program) -> Program:
        """Put a program in the place of what has its name.

        Raises:
            BadInput: with every fault.
        """
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
            if not self._curves.has(name)
        ]
        faults = faults or elements.faults_of(place, lambda: elements.program(program))
        if faults:
            raise BadInput(faults)
        self._index_program(program)
        self._kept.keep(self._kept.put("program", program.name, plain(program)))
        self._kept.tell("/derp", f"/derp/{program.number}")
        return program

    # What stands behind it

    def _index_program(self, program: Program) -> None:
        self._kept.assigned += program.name not in self._programs
        self._kept.taken("program", program.number)
        self._programs[program.name] = program
        self._names.add(program.name)
        self._program_names[program.number] = program.name
        self._kept.mrids.add(program.mrid)


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
    primacies = tuple((until, primacy) for until, primacy in held.get("primacies", ()))
    curves = tuple(held["curves"])
    return Program(**held | {"curves": curves, "description": description, "primacies": primacies})
