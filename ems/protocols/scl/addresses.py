"""The communication section of a file: where each GOOSE control block sends."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from lxml import etree

from ems.protocols.scl.faults import Faults
from ems.protocols.scl.model import MAX_TIME_MS, MIN_TIME_MS, GooseAddress

Element = etree._Element  # noqa: SLF001 - lxml's own name for the type of an element
Owner = tuple[str, str, str]
"""IED, logical device, control block."""
MAC = re.compile(r"([0-9A-Fa-f]{2}[-:]){5}[0-9A-Fa-f]{2}")
HEX = re.compile(r"[0-9A-Fa-f]{1,4}")
_MILLISECONDS = {"": 1000, "m": 1}
"""Of a time, by its multiplier."""
LONGEST_MS = 3_600_000
"""A publisher that is silent for an hour supervises nothing [ms]."""


@dataclass(slots=True)
class Addresses:
    """All GOOSE addresses of a file."""

    faults: Faults
    sub_network: str = ""
    """Name of the first sub-network."""
    found: dict[Owner, GooseAddress] = field(default_factory=dict)
    elements: dict[Owner, Element] = field(default_factory=dict)

    def left_over(self, used: Collection[Owner]) -> None:
        """Tell of addresses for control blocks that are not there."""
        for owner, element in self.elements.items():
            if owner not in used:
                ied, ld, block = owner
                self.faults.at(
                    element,
                    f"GSE for control block '{block}' of {ied}{ld}, which is not there; "
                    "correct ldInst and cbName, or remove it",
                )


def read_addresses(root: Element, faults: Faults) -> Addresses:
    """All GSE elements; a faulty one is told of and left out."""
    addresses = Addresses(faults)
    networks = root.findall("{*}Communication/{*}SubNetwork")
    addresses.sub_network = networks[0].get("name", "") if networks else ""
    for network in networks:
        for point in network.iterfind("{*}ConnectedAP"):
            for gse in point.iterfind("{*}GSE"):
                _read(point.get("iedName", ""), gse, addresses)
    _unique(addresses)
    return addresses


def _read(ied: str, gse: Element, addresses: Addresses) -> None:
    owner = ied, gse.get("ldInst", ""), gse.get("cbName", "")
    if owner in addresses.elements:
        addresses.faults.at(gse, f"a second GSE for control block '{owner[2]}'; remove one")
        return
    addresses.elements[owner] = gse
    given = {p.get("type", ""): (p.text or "").strip() for p in gse.iterfind("{*}Address/{*}P")}
    mac = _mac(gse, given.get("MAC-Address", ""), addresses.faults)
    appid = _number(gse, "APPID", given.get("APPID", ""), 16, 0xBFFF, addresses.faults)
    vlan = _number(gse, "VLAN-ID", given.get("VLAN-ID", "0"), 16, 0xFFE, addresses.faults)
    priority = _number(
        gse, "VLAN-PRIORITY", given.get("VLAN-PRIORITY", "4"), 10, 7, addresses.faults
    )
    first = _time(gse, "MinTime", MIN_TIME_MS, addresses.faults)
    last = _time(gse, "MaxTime", MAX_TIME_MS, addresses.faults)
    if appid is not None and 0x3FFF < appid < 0x8000:
        addresses.faults.at(
            gse, f"APPID {appid:04X} is not one of GOOSE; use 0000 to 3FFF, or 8000 to BFFF"
        )
        return
    if first is not None and last is not None and first > last:
        addresses.faults.at(gse, f"MinTime {first} ms is longer than MaxTime {last} ms")
        return
    if None in (mac, appid, vlan, priority, first, last):
        return
    addresses.found[owner] = GooseAddress(
        mac=mac or "", appid=appid or 0, vlan_id=vlan or 0, vlan_priority=priority or 0,
        min_time_ms=first or 0, max_time_ms=last or 0,
    )  # fmt: skip


def _mac(gse: Element, text: str, faults: Faults) -> str | None:
    if not MAC.fullmatch(text):
        faults.at(gse, f"MAC-Address '{text}' is no address; write 01-0C-CD-01-00-01")
        return None
    mac = text.replace(":", "-").upper()
    if not int(mac[:2], 16) & 1:
        faults.at(gse, f"MAC-Address {mac} is no multicast address; use 01-0C-CD-01-…")
        return None
    return mac


def _number(
    gse: Element, key: str, text: str, base: int, largest: int, faults: Faults
) -> int | None:
    number = int(text, base) if HEX.fullmatch(text) and (base == 16 or text.isdecimal()) else -1
    if not 0 <= number <= largest:
        bound = f"{largest:X} (hexadecimal)" if base == 16 else str(largest)
        faults.at(gse, f"{key} '{text}' is not in 0 to {bound}")
        return None
    return number


def _time(gse: Element, tag: str, default: int, faults: Faults) -> int | None:
    """Milliseconds of a time; None, and a fault, where it is none."""
    element = gse.find(f"{{*}}{tag}")
    if element is None:
        return default
    text = (element.text or "").strip()
    scale = _MILLISECONDS.get(element.get("multiplier", ""))
    number = int(text) * (scale or 0) if text.isdecimal() and len(text) < 9 else 0
    if not 1 <= number <= LONGEST_MS:
        faults.at(
            element, f"{tag} '{text}' is no time from 1 ms to {LONGEST_MS} ms; "
            'write <MinTime unit="s" multiplier="m">4</MinTime>',
        )  # fmt: skip
        return None
    return number


def _unique(addresses: Addresses) -> None:
    """An address belongs to one control block: a subscriber tells messages apart by it."""
    macs: dict[str, Owner] = {}
    appids: dict[int, Owner] = {}
    for owner, at in addresses.found.items():
        for what, other in (
            (f"MAC-Address {at.mac}", macs.setdefault(at.mac, owner)),
            (f"APPID {at.appid:04X}", appids.setdefault(at.appid, owner)),
        ):
            if other != owner:
                addresses.faults.at(
                    addresses.elements[owner],
                    f"{what} is already that of control block '{other[2]}' of "
                    f"{other[0]}{other[1]}; give each its own",
                )
