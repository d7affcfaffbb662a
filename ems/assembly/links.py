"""The ends of a site's links: Modbus devices, clients of our server, a utility that is followed."""

import logging
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ems.clock import Clock
from ems.domain import CycleRecord, DeviceAddress, Site
from ems.domain.address import ANSWER_MARGIN_S
from ems.gateways.sunspec import LOAD, SunSpecField
from ems.ports import Field
from ems.settings import Settings
from ems.settings.ieee2030_5.file import server_of
from ems.settings.rules import WRITE_ROUNDS

if TYPE_CHECKING:  # server and client of IEEE 2030.5: 1 s, and most sites have neither
    from ems.derms.assembled import Served
    from ems.derms.link import DispatchLink
    from ems.gateways.ieee2030_5.utility import Utility

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Clients:
    """The server that DERs ask which speak IEEE 2030.5, and the dispatch's way to it."""

    served: "Served"
    link: "DispatchLink"
    ders: frozenset[str]
    """Names of the DERs that are its clients, `load` for the meter."""
    wait_s: float
    """How long the first cycle waits for them [s]."""
    answer_s: float
    """How long the slowest may take to answer a control [s]."""
    fresh_s: float
    """How old a reading may be [s]."""
    _begun: bool = field(default=False, init=False)
    _waited: bool = field(default=False, init=False)

    @property
    def longest_s(self) -> float:
        """How much longer a cycle may take with them: first word, rounds of writes [s]."""
        return self.wait_s + WRITE_ROUNDS * self.answer_s

    def begin(self) -> None:
        """Answer clients.

        Raises:
            PortInUse: another program listens there.
        """
        self.served.start()
        self._begun = True
        log.info("serving IEEE 2030.5 at %s/dcap", self.served.server.url)

    def ready(self) -> None:
        """Wait for the clients that are DERs, once."""
        if self._waited or not self.ders:
            return
        self._waited = True
        log.info("waiting up to %.0f s for clients: %s", self.wait_s, ", ".join(sorted(self.ders)))
        missing = self.link.wait_for(self.ders, self.wait_s, self.fresh_s)
        if missing:
            log.warning(
                "not heard within %.0f s, and not commanded until they are: %s; their clients ask "
                "this server, it cannot ask them",
                self.wait_s,
                ", ".join(sorted(missing)),
            )

    def told(self) -> str:
        """Where it is and what it does, for people."""
        if not self._begun:
            return "not begun"
        server = self.served.server
        health = server.health()
        refused = sum(health.refused.values())
        return (
            f"{server.url}/dcap: {health.connections} connections, {health.answered} requests "
            f"answered, {refused} refused"
        )

    def unkept(self) -> str:
        """Why something that the server serves is not on the disk; empty: everything is."""
        why, given_up = self.served.board.unkept, self.served.board.given_up
        if why:
            return f"what the IEEE 2030.5 server serves is not on the disk yet: {why}"
        if given_up:
            return (
                f"the IEEE 2030.5 server serves what no disk would keep: {given_up} changes, which "
                "the log tells; a restart takes them back"
            )
        return ""

    def end(self) -> None:
        """Wait for nobody any more."""
        self.link.stop_waiting()

    def hand_back(self, sent: Collection[str]) -> None:
        """Ask nothing more of those clients among some DERs: their other programs go first."""
        self.link.hand_back(self.ders.intersection(sent))


def clients_of(settings: Settings, clock: Clock, stack: ExitStack) -> Clients | None:
    """The site's server, ready to begin; stopped when the stack is closed."""
    file = server_of(settings)
    if file is None:
        return None
    from ems.derms.assembled import opened  # noqa: PLC0415  as above
    from ems.derms.link import DispatchLink  # noqa: PLC0415

    served = stack.enter_context(opened(file, clock))
    for note in served.notes:
        log.warning("%s", note)
    devices = settings.end_devices()
    table = file.table
    link = DispatchLink(served.server, served.board, {n: a.enddevice for n, a in devices.items()})
    link.drop_left_over()
    return Clients(
        served=served,
        link=link,
        ders=frozenset(devices),
        wait_s=table.poll_rate_s + table.post_rate_s + ANSWER_MARGIN_S,
        answer_s=max((a.answer_s for a in devices.values()), default=0.0),
        fresh_s=settings.control.stale_after_s,
    )


def field_of(
    settings: Settings,
    site: Site,
    addresses: Mapping[str, DeviceAddress],
    clients: Clients | None,
) -> Field:
    """All devices of a site, each by its own protocol."""
    devices = settings.end_devices()
    if clients is None or not devices:
        return SunSpecField(site, addresses)
    from ems.gateways.ieee2030_5.field import Ieee2030Field  # noqa: PLC0415  as above
    from ems.gateways.ieee2030_5.joined import JoinedField  # noqa: PLC0415

    served = Ieee2030Field(site, devices, clients.link, fresh_s=clients.fresh_s)
    if not addresses:
        return served
    others = tuple(der for der in site.ders if der.name not in devices)
    modbus = SunSpecField(replace(site, ders=others), addresses, meter=LOAD not in devices)
    of = {der.name: served if der.name in devices else modbus for der in site.ders}
    return JoinedField(of, served if LOAD in devices else modbus)


def utility_of(
    settings: Settings, site: Site, clock: Clock, latest: CycleRecord | None
) -> "Utility | None":
    """The utility that the site follows."""
    table = settings.utility
    if table is None:
        return None
    from ems.gateways.ieee2030_5.utility import Utility, UtilityAddress  # noqa: PLC0415  as above

    beside = settings.file.parent
    at = UtilityAddress(
        url=table.url,
        ca_file=beside / table.ca_file,
        cert_file=beside / table.cert_file,
        key_file=beside / table.key_file,
        pin=table.pin,
        lost_after_s=table.lost_after_s,
    )
    return Utility(site, at, latest.imposed if latest is not None else None, clock=clock)
