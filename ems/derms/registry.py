"""The devices that may speak."""

import json
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import asdict, replace
from typing import Any

from ems.derms import elements
from ems.derms.checks import HEX_DIGITS, known_keys
from ems.derms.kept import Kept
from ems.derms.rates import MOST_RATE_S
from ems.derms.served import Conflict, Device, NotFound
from ems.errors import BadInput, Fault
from ems.protocols.ieee2030_5 import identity

_LFDI_DIGITS = 40
_NOBODY = "0" * _LFDI_DIGITS
_MOST_NAMED = 5
"""Names in a fault; an aggregator may have thousands of devices."""
_DEVICE_MAY_CHANGE = frozenset(
    {"name", "lfdi", "sfdi", "pin", "category", "aggregator", "groups", "enabled"}
    | {"poll_rate_s", "post_rate_s"}
)


class Registry:
    """Devices."""

    def __init__(self, kept: Kept, names: AbstractSet[str]) -> None:
        """Take up what was kept.

        Args:
            kept: what all parts share.
            names: of programs and groups.
        """
        self._kept, self._names = kept, names
        self._devices: dict[int, Device] = {}
        self._by_name: dict[str, int] = {}
        self._by_lfdi: dict[str, int] = {}
        self._managed: dict[str, set[int]] = {}
        for document in kept.keeper.documents("device"):
            held = json.loads(document.body or "")
            self._index(Device(**held | {"groups": tuple(held["groups"])}))

    # Devices

    def devices(self) -> tuple[Device, ...]:
        """All of them, by number."""
        return tuple(self._devices.values())

    def device(self, name: str) -> Device:
        """The device of that name.

        Raises:
            NotFound: there is none.
        """
        if name not in self._by_name:
            raise NotFound(f"no device {name!r} is registered")
        return self._devices[self._by_name[name]]

    def device_by_number(self, number: int) -> Device | None:
        """The device at /edev/{number}."""
        return self._devices.get(number)

    def device_by_lfdi(self, lfdi: str) -> Device | None:
        """The device with that certificate."""
        number = self._by_lfdi.get(lfdi)
        return None if number is None else self._devices[number]

    def managed_by(self, lfdi: str) -> tuple[Device, ...]:
        """Those for which an aggregator acts, by number."""
        return tuple(self._devices[number] for number in sorted(self._managed.get(lfdi, ())))

    def manages(self, lfdi: str) -> bool:
        """Whether this is an aggregator of at least one device."""
        return bool(self._managed.get(lfdi))

    def add_device(
        self,
        name: str,
        *,
        lfdi: str,
        sfdi: int | None = None,
        pin: int | None = None,
        category: int = 0,
        aggregator: str | None = None,
        groups: Iterable[str] = (),
        enabled: bool = True,
        poll_rate_s: int | None = None,
        post_rate_s: int | None = None,
    ) -> Device:
        """Register a device.

        Args:
            name: unique.
            lfdi: of its certificate, 40 hex digits.
            sfdi: follows from the LFDI unless given.
            pin: of six digits, the last one a check digit.
            category: DeviceCategoryType, bits.
            aggregator: LFDI of the aggregator that acts for it.
            groups: names of groups or of programs.
            enabled: whether it may speak.
            poll_rate_s: how often it shall ask [s].
            post_rate_s: how often it shall report [s].

        Raises:
            BadInput: with every fault.
            Conflict: another device has the name or the LFDI.
        """
        now = self._kept.now()
        lfdi = lfdi.upper()
        if len(lfdi) == _LFDI_DIGITS and set(lfdi) <= HEX_DIGITS and sfdi is None:
            sfdi = identity.sfdi_of(lfdi)
        device = Device(
            number=self._kept.next("device"),
            name=name,
            lfdi=lfdi,
            sfdi=sfdi or 0,
            pin=pin,
            category=category,
            aggregator=aggregator.upper() if aggregator else None,
            groups=tuple(groups),
            enabled=enabled,
            created=now,
            changed=now,
            poll_rate_s=poll_rate_s,
            post_rate_s=post_rate_s,
        )
        self._check(device)
        self._store(device)
        return device

    def change_device(self, name: str, **changes: Any) -> Device:
        """Change what is known of a device; a change to what it is already is none.

        Args:
            name: its present name.
            **changes: any of the arguments of `add_device`.

        Raises:
            NotFound: there is no such device.
            BadInput: with every fault.
            Conflict: another device has the name or the LFDI.
        """
        before = self.device(name)
        known_keys(changes, _DEVICE_MAY_CHANGE, f"device {name!r}")
        if "groups" in changes:
            changes["groups"] = tuple(changes["groups"])
        for key in ("lfdi", "aggregator"):
            if changes.get(key):
                changes[key] = changes[key].upper()
        if "lfdi" in changes and "sfdi" not in changes and changes["lfdi"] != before.lfdi:
            changes["sfdi"] = identity.sfdi_of(changes["lfdi"])
        device = replace(before, **changes)
        if device == before:
            return before
        device = replace(device, changed=self._kept.now())
        self._check(device)
        self._unindex(before)
        self._store(device)
        if device.lfdi != before.lfdi:
            # A new certificate: those it acts for stay its own.
            for other in self.managed_by(before.lfdi):
                self.change_device(other.name, aggregator=device.lfdi)
        return device

    def remove_device(self, name: str) -> Device:
        """Forget a device, and what it put; what it said happened stays kept.

        Raises:
            NotFound: there is no such device.
            Conflict: it is the aggregator of others, which nobody would act for any more.
        """
        device = self.device(name)
        if managed := [other.name for other in self.managed_by(device.lfdi)]:
            raise Conflict(
                f"device {name!r} is the aggregator of {_some(managed)}; give them another one, "
                "or none, first"
            )
        self._unindex(device)
        del self._devices[device.number]
        dropped = self._kept.drop("device", str(device.number), device.lfdi)
        self._kept.keep(dropped, *self._kept.retired("device", device.number))
        self._kept.tell("/edev", f"/edev/{device.number}", f"/edev/{device.number}/fsa")
        return device

    def members_of(self, group: str) -> list[Device]:
        """The devices that are in a group, or have a program without one."""
        return [device for device in self.devices() if group in device.groups]

    def leave(self, group: str) -> None:
        """Take all devices out of a group or a program."""
        for device in self.members_of(group):
            self.change_device(device.name, groups=[g for g in device.groups if g != group])

    # What stands behind it

    def _check(self, device: Device) -> None:
        where = f"device {device.name!r}"
        faults = []
        if not device.name:
            faults.append(Fault(place="device", problem="it needs a name"))
        if len(device.lfdi) != _LFDI_DIGITS or not set(device.lfdi) <= HEX_DIGITS:
            problem = f"{device.lfdi!r} is no LFDI; it has 40 hexadecimal digits"
            faults.append(Fault(place=f"{where}: lfdi", problem=problem))
        elif not identity.has_check_digit(device.sfdi):
            problem = f"{device.sfdi}: its last digit is no check digit of the others"
            faults.append(Fault(place=f"{where}: sfdi", problem=problem))
        elif device.lfdi == _NOBODY:
            problem = "is all zeros, which is nobody's"
            faults.append(Fault(place=f"{where}: lfdi", problem=problem))
        if device.aggregator is not None and device.aggregator == device.lfdi:
            problem = "a device does not manage itself; leave it out"
            faults.append(Fault(place=f"{where}: aggregator", problem=problem))
        if device.pin is not None and (problem := identity.pin_fault(device.pin)):
            faults.append(Fault(place=f"{where}: pin", problem=problem))
        faults += [
            Fault(place=f"{where}: groups", problem=f"there is no group or program {name!r}")
            for name in device.groups
            if name not in self._names
        ]
        for key in ("poll_rate_s", "post_rate_s"):
            rate = getattr(device, key)
            if rate is not None and not 0 < rate <= MOST_RATE_S:
                problem = f"{rate} is no number of seconds from 1 to {MOST_RATE_S}"
                faults.append(Fault(place=f"{where}: {key}", problem=problem))
        faults = faults or elements.faults_of(
            where, lambda: elements.device(device, postRate=device.post_rate_s)
        )
        if faults:
            raise BadInput(faults)
        self._check_unique(device)

    def _check_unique(self, device: Device) -> None:
        for index, value, what in (
            (self._by_name, device.name, "name"),
            (self._by_lfdi, device.lfdi, "LFDI"),
        ):
            number = index.get(value, device.number)
            if number != device.number:
                other = self._devices[number].name
                raise Conflict(f"{what} {value} is that of the device {other!r}")

    def _store(self, device: Device) -> None:
        self._index(device)
        self._kept.keep(self._kept.put("device", str(device.number), asdict(device), device.lfdi))
        self._kept.tell("/edev", f"/edev/{device.number}", f"/edev/{device.number}/fsa")

    def _index(self, device: Device) -> None:
        self._kept.assigned += 1
        self._kept.taken("device", device.number)
        self._devices[device.number] = device
        self._by_name[device.name] = device.number
        self._by_lfdi[device.lfdi] = device.number
        if device.aggregator:
            self._managed.setdefault(device.aggregator, set()).add(device.number)

    def _unindex(self, device: Device) -> None:
        self._kept.assigned += 1
        del self._by_name[device.name]
        del self._by_lfdi[device.lfdi]
        if device.aggregator:
            self._managed[device.aggregator].discard(device.number)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"
