"""Which device has which programs."""

from ems.derms.groups import Groups
from ems.derms.kept import Kept
from ems.derms.programs import Programs
from ems.derms.registry import Registry
from ems.derms.served import Device


class Assignments:
    """What follows of devices, their groups and the programs of these."""

    def __init__(self, kept: Kept, programs: Programs, groups: Groups, registry: Registry) -> None:
        """Nothing is worked out yet.

        Args:
            kept: what all parts share.
            programs: that devices have.
            groups: by which they have them.
            registry: of the devices.
        """
        self._kept, self._programs = kept, programs
        self._groups, self._registry = groups, registry
        self._assigned: tuple[int, dict[int, frozenset[int]]] = (-1, {})
        self._managed_programs: tuple[int, dict[str, frozenset[int]]] = (-1, {})

    def programs_of(self, device: Device) -> frozenset[int]:
        """Numbers of the programs that a device is assigned to, by a group or without one."""
        version, known = self._assigned
        if version != self._kept.assigned:
            known = {}
            self._assigned = (self._kept.assigned, known)
        found = known.get(device.number)
        if found is None:
            names: set[str] = set()
            for name in device.groups:
                names.update(self._groups.programs_of(name))
            found = frozenset(self._programs.program(name).number for name in names)
            known[device.number] = found
        return found

    def programs_managed(self, lfdi: str) -> frozenset[int]:
        """Numbers of the programs that the devices of an aggregator are assigned to."""
        version, known = self._managed_programs
        if version != self._kept.assigned:
            known = {}
            self._managed_programs = (self._kept.assigned, known)
        found = known.get(lfdi)
        if found is None:
            found = frozenset().union(
                *(self.programs_of(d) for d in self._registry.managed_by(lfdi))
            )
            known[lfdi] = found
        return found

    def members(self, program: str) -> tuple[Device, ...]:
        """The devices that are assigned to a program.

        Raises:
            NotFound: there is no such program.
        """
        number = self._programs.program(program).number
        return tuple(d for d in self._registry.devices() if number in self.programs_of(d))
