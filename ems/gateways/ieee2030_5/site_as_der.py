"""A site as the one DER that a utility sees, limits, and is told of."""

from collections.abc import Mapping, Sequence

from ems.domain import Bes, Site
from ems.enddevice.application import (
    INVALID,
    NOT_APPLICABLE,
    ControlInForce,
    Measured,
    Value,
)
from ems.protocols.ieee2030_5 import modes, sep, values

SUPPORTS = frozenset(
    {"opModMaxLimW", "opModConnect", "opModEnergize"}
    | {"opModImpLimW", "opModExpLimW", "opModGenLimW"}
)
"""What a whole site can keep; the last three are those of CSIP-AUS."""
CEASES = ("opModConnect", "opModEnergize")
"""Where one is false, the DERs shall give nothing."""
MIXED, OPERATING, CEASED = 1, "07", "03"
"""DERType: virtual or mixed. ConnectStatusType: connected, available, and operating or not."""
LITTLE = 0.02
"""What counts as nothing, as a share of the rating: meters of class 1, and own consumption [1]."""
W, VAR, POWER = 38, 63, 37
"""UomType, KindType."""


class SiteAsDer:
    """A site as the DER that a utility limits (`ems.enddevice.DerApplication`)."""

    def __init__(self, site: Site) -> None:
        """Nobody limits it yet."""
        rated_w = 1000.0 * sum(d.rated_kw for d in site.ders)
        self.rated_w = values.watts(values.active_power(rated_w, "down"))
        """As it is told: what percentages relate to [W]."""
        self.charge_w = 1000.0 * sum(d.rated_kw for d in site.bess)
        self.asked: ControlInForce | None = None
        """What is asked for at present; None: nothing was ever heard."""
        self._measured: tuple[float, float, float | None] | None = None
        self._storage = any(isinstance(d, Bes) for d in site.ders)

    supports = SUPPORTS

    def refuses(self, control: Mapping[str, Value]) -> int | None:
        """Anything but limits: a site does not follow orders for single devices."""
        if not control.keys() <= SUPPORTS:
            return NOT_APPLICABLE
        share = control.get("opModMaxLimW")
        return INVALID if isinstance(share, int) and not 0 <= share <= values.FULL else None

    def apply(self, control: ControlInForce) -> None:
        """From now on this holds."""
        self.asked = control

    def report(self, p_kw: float, q_kvar: float, time: float | None = None) -> None:
        """What all DERs together inject, for the next readings.

        Args:
            p_kw: active power [kW].
            q_kvar: reactive power [kvar].
            time: when it was measured; None: when it is told [s since 1970].
        """
        self._measured = (1000.0 * p_kw, 1000.0 * q_kvar, time)

    @property
    def ceases(self) -> bool:
        """Whether the DERs are asked to give nothing: to disconnect, or to cease to energize."""
        asked = self.asked
        return asked is not None and any(asked.value(mode) is False for mode in CEASES)

    @property
    def gives_kw(self) -> float | None:
        """What all DERs gave when they were last measured, if more than nothing [kW].

        None where it was never measured.
        """
        if self._measured is None:
            return None
        given_w = self._measured[0]
        return given_w / 1000.0 if given_w > LITTLE * self.rated_w else 0.0

    def capability(self) -> sep.DERCapability:
        """All DERs as one."""
        return sep.DERCapability(
            modesSupported=modes.bits_of(SUPPORTS),
            rtgMaxW=values.active_power(self.rated_w, "down"),
            rtgMaxChargeRateW=values.active_power(self.charge_w, "down") if self._storage else None,
            type_=MIXED,
        )

    def settings(self, now: int) -> sep.DERSettings:
        """As it is rated."""
        return sep.DERSettings(
            modesEnabled=modes.bits_of(SUPPORTS),
            setGradW=0,
            setMaxW=values.active_power(self.rated_w, "down"),
            updatedTime=now,
        )

    def status(self, now: int) -> sep.DERStatus:
        """Connected: GEEMS opens no breaker. Operating, unless it ceased as it was asked."""
        value = CEASED if self.ceases and self.gives_kw == 0.0 else OPERATING
        return sep.DERStatus(
            genConnectStatus=sep.ConnectStatus(dateTime=now, value=value), readingTime=now
        )

    def availability(self, now: int) -> sep.DERAvailability:
        """Nothing is promised."""
        return sep.DERAvailability(readingTime=now)

    def information(self, lfdi: str) -> None:
        """It does not say."""

    def power_status(self, now: int) -> None:
        """It does not say."""

    def readings(self) -> Sequence[Measured]:
        """What its DERs inject, once it was measured."""
        if self._measured is None:
            return ()
        p_w, q_var, at = self._measured
        return (
            Measured(name="active power", value=p_w, uom=W, kind=POWER, time=at),
            Measured(name="reactive power", value=q_var, uom=VAR, kind=POWER, time=at),
        )
