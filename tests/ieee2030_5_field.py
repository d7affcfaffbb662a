"""DERs behind an IEEE 2030.5 server in memory, and what is asked of them."""

from dataclasses import replace

from ems.domain import Bes, Command, Dg, EndDeviceAddress, Pv
from ems.gateways.ieee2030_5.field import Ieee2030Field
from ems.gateways.ieee2030_5.joined import JoinedField
from ems.gateways.ieee2030_5.memory import MemoryDevice, MemoryReading, MemoryServer
from ems.gateways.memory import MemoryField
from ems.protocols.ieee2030_5 import modes, sep, values
from tests.sites import LOAD_KW, NOW, segment

AT = int(NOW.timestamp())
SITE = segment()
PV, BES, DG = SITE.pvs[0], SITE.bess[0], SITE.dgs[0]
ANSWER_S = 75.0
MODES = ("opModMaxLimW", "opModFixedW", "opModFixedVar", "opModConnect")
REVERSION_S = 300


def end_device(
    der: Pv | Bes | Dg,
    *,
    p_kw: float = 0.0,
    q_kvar: float = 0.0,
    supported: tuple[str, ...] = MODES,
) -> MemoryDevice:
    """One that answers at once, and mirrors what it does."""
    device = MemoryDevice(
        capability=sep.DERCapability(
            modesSupported=modes.bits_of(supported),
            rtgMaxW=values.active_power(der.rated_kw * 1000.0),
            rtgMaxVar=values.reactive_power(der.rated_kw * 500.0),
            rtgVNom=sep.VoltageRMS(multiplier=0, value=480),
            type_=4,
        ),
        readings=[
            MemoryReading(value=p_kw * 1000.0, uom=38, time=AT),
            MemoryReading(value=q_kvar * 1000.0, uom=63, time=AT),
        ],
        last_seen=AT,
    )
    if isinstance(der, Bes):
        device.status = sep.DERStatus(
            readingTime=AT,
            stateOfChargeStatus=sep.StateOfChargeStatus(dateTime=AT, value=6000),
        )
    return device


def field_of(**devices: MemoryDevice) -> tuple[Ieee2030Field, MemoryServer]:
    server = MemoryServer(devices, AT)
    addresses = {
        name: EndDeviceAddress(enddevice=name.upper(), answer_s=ANSWER_S) for name in devices
    }
    return Ieee2030Field(SITE, addresses, server, fresh_s=120.0), server


def cap(cap_kw: float | None, q_kvar: float = 0.0, *, reversion_s: int = REVERSION_S) -> Command:
    return Command(
        der=PV.name, p_kw=None, q_kvar=q_kvar, cap_kw=cap_kw, reversion_kw=1000.0,
        reversion_s=reversion_s,
    )  # fmt: skip


def setpoint(der: Bes | Dg, p_kw: float, q_kvar: float = 0.0) -> Command:
    return Command(
        der=der.name, p_kw=p_kw, q_kvar=q_kvar, cap_kw=None, reversion_kw=0.0,
        reversion_s=REVERSION_S,
    )  # fmt: skip


def limit_of(share_pct: float) -> sep.DERControlBase:
    return sep.DERControlBase(opModMaxLimW=int(share_pct * 100))


def world(**devices: MemoryDevice) -> tuple[JoinedField, MemoryServer, MemoryField]:
    """The plant over IEEE 2030.5, generator and battery in memory."""
    ours, server = field_of(**devices)
    others = MemoryField(
        replace(SITE, ders=tuple(d for d in SITE.ders if d.name not in devices)),
        load_kw=LOAD_KW, p_kw={"dg": 2997.0, "bes": 0.0},
    )  # fmt: skip
    of = {d.name: ours if d.name in devices else others for d in SITE.ders}
    return JoinedField(of, others), server, others
