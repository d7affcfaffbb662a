"""What other programs of the server ask of a DER beside the dispatch.

The dispatch's own program goes before them, so what they limit would be lifted by it: a limit that
GEEMS did not set is never raised. It is laid into the dispatch's controls and defaults instead.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from ems.domain import Der, DerReading, Pv
from ems.gateways.ieee2030_5.following import WHY, holding, is_foreign, last_status, newest
from ems.gateways.ieee2030_5.orders import held
from ems.gateways.ieee2030_5.port import EndDevice
from ems.gateways.ieee2030_5.ratings import Ratings
from ems.protocols.ieee2030_5 import sep, values

DISCONNECTED = "another program of its server disconnects it"
"""What people are told of such a DER."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What others limit a DER to; infinite where they do not."""

    give_w: float = math.inf
    """Most active power given [W]."""
    take_w: float = math.inf
    """Most active power taken [W]."""
    connected: bool = True
    """False: it shall be off the grid."""

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return not self.connected or min(self.give_w, self.take_w) < math.inf


def limits(bases: Iterable[sep.DERControlBase], of: Ratings) -> Limits:
    """The lowest of what some controls and defaults limit."""
    give, take, connected = [math.inf], [math.inf], True
    for base in bases:
        if base.opModMaxLimW is not None and base.opModMaxLimW < values.FULL:
            give.append(base.opModMaxLimW / values.FULL * of.max_w)
        # What a DER itself gives is no more than its connection point may, nor what it takes. A
        # point that may not even give nothing leaves it nothing: more is not its own to mend.
        give += _watts(base.opModGenLimW, base.opModExpLimW)
        take += _watts(base.opModLoadLimW, base.opModImpLimW)
        if base.opModConnect is False or base.opModEnergize is False:
            connected = False
    if not connected:
        return Limits(give_w=0.0, take_w=0.0, connected=False)
    return Limits(give_w=min(give), take_w=min(take))


def lowered(base: sep.DERControlBase, to: Limits, of: Ratings) -> sep.DERControlBase:
    """What is ordered, within the limits of others."""
    changes: dict[str, int | bool | sep.FixedVar] = {}
    if base.opModMaxLimW is not None:
        changes["opModMaxLimW"] = min(base.opModMaxLimW, _share(to.give_w, of.max_w))
    if base.opModFixedW is not None:
        most = _share(to.give_w, of.discharge_w)
        least = -_share(to.take_w, of.charge_w)
        changes["opModFixedW"] = max(min(base.opModFixedW, most), least)
    if not to.connected and base.opModFixedVar is not None:
        # Off the grid it has no reactive power to give either.
        changes["opModFixedVar"] = base.opModFixedVar.model_copy(update={"value": 0})
    if not to.connected and of.can("opModConnect"):
        changes["opModConnect"] = False
    return base.model_copy(update=changes)


def shown(
    der: Der,
    reading: DerReading,
    device: EndDevice,
    of: Ratings,
    at: int,
    *,
    to: Limits,
    ours: bool,
) -> DerReading:
    """A reading with what others ask.

    Args:
        der: the device.
        reading: what it reports, and what it holds of us.
        device: what the server knows of it.
        of: its ratings.
        at: the server's time [s].
        to: what others limit it to, as it was laid into what it holds of us.
        ours: whether a cap that it holds of us is one that was commanded, not one of others that
            was laid into it and that they have lifted since.
    """
    told = newest(device, at)
    if is_foreign(told):
        # What another program of ours orders is known; what another server does is not.
        order = next((b for b in device.others if b.opModFixedW is not None), None)
        asked = held(der, order, of) if order is not None else None
        return replace(
            reading,
            local=True,
            p_set_kw=None if asked is None else asked.p_kw,
            q_set_kvar=None if asked is None else asked.q_kvar,
            note=f"{WHY[last_status(told) or 0]}: it takes no command of GEEMS until that is over",
        )
    if not to.connected:
        note = "; ".join(filter(None, (DISCONNECTED, reading.note)))
        reading = replace(reading, off=True, note=note)
    if not isinstance(der, Pv):
        return reading
    give_kw, held_kw = to.give_w / 1000.0, reading.cap_kw
    if give_kw < math.inf:
        # What it holds of us, be it no cap, it holds until it has answered the control that
        # lowers it.
        cap_kw = give_kw if holding(device, at).base is None else held_kw
        reading = replace(reading, cap_kw=cap_kw, most_kw=give_kw)
    return replace(reading, lifted=not ours and held_kw is not None and held_kw < give_kw)


def _watts(*limits: sep.ActivePower | None) -> list[float]:
    return [max(values.number(limit), 0.0) for limit in limits if limit is not None]


def _share(most_w: float, whole_w: float) -> int:
    """Of a rating, hundredths of a percent, rounded down."""
    if most_w >= whole_w:
        return values.FULL
    return int(Decimal(repr(most_w)) * values.FULL / Decimal(repr(whole_w)))
