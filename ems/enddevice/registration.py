"""Finding oneself at the server: device capability, end device, registration."""

import logging
from dataclasses import dataclass

from ems.enddevice.paging import whole
from ems.enddevice.session import Refused, Session
from ems.errors import GeemsError
from ems.protocols.ieee2030_5 import identity, sep

log = logging.getLogger(__name__)

POLL_S = 300
"""How often to ask where the server does not say: the standard's default [s]."""
NOT_IN_BAND = frozenset({403, 404, 405})
"""Answers of a server that registers devices out of band."""


class NotRegistered(GeemsError):
    """The server does not know this device, and does not let it register itself."""


class WrongServer(GeemsError):
    """The registration holds another PIN than this device was given: it is not its server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What a device found of itself."""

    capability: sep.DeviceCapability
    device: sep.EndDevice
    poll_s: int
    """How often the server wants to be asked, by its device capability [s]."""


async def register(session: Session, lfdi: str, pin: int | None) -> Registered:
    """Find the device at the server, or register it.

    Args:
        session: to the server.
        lfdi: of the device; an aggregator's devices are not those of the session's certificate.
        pin: what the server must know of the device; None: whatever it says.

    Raises:
        NotRegistered: it is not there.
        WrongServer: another PIN.
        Lost, Refused: as the session.
    """
    capability = await session.get(session.start, sep.DeviceCapability)
    if capability.EndDeviceListLink is None:
        raise NotRegistered(f"{session.start} shows no EndDeviceList to {lfdi}")
    devices = capability.EndDeviceListLink.href
    device = await _found(session, devices, lfdi)
    if device is None:
        device = await _created(session, devices, lfdi)
    await _check_pin(session, device, pin)
    return Registered(capability=capability, device=device, poll_s=capability.pollRate or POLL_S)


async def _found(session: Session, href: str, lfdi: str) -> sep.EndDevice | None:
    listed = await whole(session, href, sep.EndDeviceList, lambda page: page.EndDevice_)
    for unread in listed.unread:
        log.warning("%s: passed over: %s", lfdi, unread)
    return next((d for d in listed.items if (d.lFDI or "").upper() == lfdi), None)


async def _created(session: Session, href: str, lfdi: str) -> sep.EndDevice:
    """In band: clause 7.2 of the standard, CSIP 6.1.3."""
    asked = sep.EndDevice(lFDI=lfdi, sFDI=identity.sfdi_of(lfdi), changedTime=0)
    try:
        await session.post(href, asked)
    except Refused as error:
        if error.status in NOT_IN_BAND:
            raise NotRegistered(f"the server does not know {lfdi}") from error
        raise
    log.info("%s registered itself", lfdi)
    device = await _found(session, href, lfdi)
    if device is None:
        raise NotRegistered(f"the server took {lfdi} and does not list it")
    return device


async def _check_pin(session: Session, device: sep.EndDevice, pin: int | None) -> None:
    if device.RegistrationLink is None:
        if pin is not None:
            raise WrongServer("the server holds no registration, and a PIN was given")
        return
    told = (await session.get(device.RegistrationLink.href, sep.Registration)).pIN
    if pin is not None and told != pin:
        # The PIN itself is not told: logs are read by others.
        raise WrongServer("the server's registration holds another PIN")
    if identity.pin_fault(told):
        log.warning("the server's registration holds a PIN with a wrong check digit")
