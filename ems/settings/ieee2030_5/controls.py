"""Controls, curves and events as a person writes them: percentages in %, power in kW.

The same tables are the body of requests to the administration. Names are those of the control
modes of IEEE 2030.5-2018 (DERControlBase) without their prefix: `max_lim_w_pct` is opModMaxLimW.
"""

import re
from collections.abc import Mapping
from string import hexdigits
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from ems.settings.base import Table
from ems.settings.tables import Name

CURVE_MODES: Mapping[str, str] = {
    "freq_watt": "opModFreqWatt",
    "hfrt_may_trip": "opModHFRTMayTrip",
    "hfrt_must_trip": "opModHFRTMustTrip",
    "hvrt_may_trip": "opModHVRTMayTrip",
    "hvrt_momentary_cessation": "opModHVRTMomentaryCessation",
    "hvrt_must_trip": "opModHVRTMustTrip",
    "lfrt_may_trip": "opModLFRTMayTrip",
    "lfrt_must_trip": "opModLFRTMustTrip",
    "lvrt_may_trip": "opModLVRTMayTrip",
    "lvrt_momentary_cessation": "opModLVRTMomentaryCessation",
    "lvrt_must_trip": "opModLVRTMustTrip",
    "volt_var": "opModVoltVar",
    "volt_watt": "opModVoltWatt",
    "watt_pf": "opModWattPF",
    "watt_var": "opModWattVar",
}
"""Modes that follow a curve, in the order of their curve types 0 to 14."""

MOST_POINTS = 10
"""Of a curve: IEEE 2030.5-2018, DERCurve."""
MOST_VALUE = 200_000.0
"""Of x and y: CurveData has 32 bits, the finest of them ten thousandths."""
MOST_KW = 32_767e6
"""Of a power: 16 bits, times 10⁹ W [kW]."""
CurveType = Literal[
    "freq_watt", "hfrt_may_trip", "hfrt_must_trip", "hvrt_may_trip", "hvrt_momentary_cessation",
    "hvrt_must_trip", "lfrt_may_trip", "lfrt_must_trip", "lvrt_may_trip",
    "lvrt_momentary_cessation", "lvrt_must_trip", "volt_var", "volt_watt", "watt_pf", "watt_var",
]  # fmt: skip

DISPATCH = "dispatch-"
"""What the names of the dispatch's own programs begin with."""

UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""XML 1.0, section 2.2: whatever is no Char."""


def _mrid(text: str) -> str:
    if not 0 < len(text) <= 32 or not set(text) <= set(hexdigits):
        raise ValueError(f'"{text}" is no mRID; it has up to 32 hexadecimal digits')
    return text.upper()


def _lfdi(text: str) -> str:
    if len(text) != 40 or not set(text) <= set(hexdigits):
        raise ValueError(
            f'"{text}" is no LFDI; it has 40 hexadecimal digits, as `geems ieee2030-5 certs show` '
            "tells of a certificate"
        )
    return text.upper()


def _points(points: list[list[float]]) -> list[list[float]]:
    if not 0 < len(points) <= MOST_POINTS:
        raise ValueError(f"has {len(points)} points; a curve has 1 to {MOST_POINTS}")
    for i, point in enumerate(points):
        if len(point) != 2:
            raise ValueError(f"point {i} is {point}; write pairs [x, y]")
        if max(map(abs, point)) > MOST_VALUE:
            raise ValueError(f"point {i} is {point}; beyond ±{MOST_VALUE:g}")
        if i and point[0] < points[i - 1][0]:
            raise ValueError(f"x of point {i}, {point[0]:g}, is less than that of the one before")
    return points


def _own(name: str) -> str:
    if name.startswith(DISPATCH):
        raise ValueError(
            f'"{name}" is kept for the dispatch\'s own programs; let it not begin with "{DISPATCH}"'
        )
    return name


def _text(text: str) -> str:
    if bad := UNWRITABLE.search(text):
        raise ValueError(f"has the character {bad[0]!r}, which XML cannot hold; leave it out")
    return text


ProgramName = Annotated[Name, AfterValidator(_own)]
"""Of a program or a group: these share their names."""
Mrid = Annotated[str, AfterValidator(_mrid)]
"""Master resource identifier: up to 128 bits in hexadecimal digits."""
Lfdi = Annotated[str, AfterValidator(_lfdi)]
"""Long form device identifier: 40 hexadecimal digits."""
Seconds = Annotated[int, Field(ge=0, le=2**31 - 1)]
Randomised = Annotated[int, Field(ge=-3600, le=3600)]
"""Bounds of IEEE 2030.5-2018, OneHourRangeType [s]."""
Description = Annotated[str, Field(max_length=32), AfterValidator(_text)]
"""String32 of the schema."""
Power = Annotated[float, Field(ge=-MOST_KW, le=MOST_KW)]
Limit = Annotated[float, Field(ge=0, le=MOST_KW)]


class PowerFactorTable(Table):
    """A power factor, and to which side the reactive power goes."""

    pf: float = Field(gt=0, le=1)
    """Displacement power factor [1]."""
    excitation: Literal["over", "under"] = "over"
    """Over-excited injects reactive power, under-excited absorbs it."""


class FixedVarTable(Table):
    """Reactive power as a share."""

    pct: float = Field(ge=-100, le=100)
    """Injection positive [%]."""
    of: Literal["set_max_w", "set_max_var", "stat_var_avail"] = "set_max_var"
    """What it is a share of."""


class FreqDroopTable(Table):
    """Frequency-watt by parameters, IEEE 1547-2018, table 23."""

    dbof_hz: float = Field(ge=0, le=10)
    """Deadband above nominal [Hz]."""
    dbuf_hz: float = Field(ge=0, le=10)
    """Deadband below nominal [Hz]."""
    kof: float = Field(gt=0, le=1)
    """Per-unit frequency change per per-unit power change, above nominal [1]."""
    kuf: float = Field(gt=0, le=1)
    """Likewise below nominal [1]."""
    open_loop_tms_s: float = Field(default=5.0, ge=0, le=600)
    """Open-loop response time [s]."""


class ControlBaseTable(Table):
    """What a control asks for. Curves go by their names. What is left out is not asked."""

    connect: bool | None = None
    """False: galvanically apart."""
    energize: bool | None = None
    """False: no power is delivered."""
    fixed_w_pct: float | None = Field(default=None, ge=-100, le=100)
    """Active power, charging negative [% of setMaxW, or of setMaxChargeRateW]."""
    max_lim_w_pct: float | None = Field(default=None, ge=0, le=100)
    """Highest active power [% of setMaxW]."""
    target_kw: Power | None = None
    """Active power, injection positive [kW]."""
    target_kvar: Power | None = None
    """Reactive power, injection positive [kvar]."""
    fixed_pf_inject: PowerFactorTable | None = None
    """Power factor while it injects."""
    fixed_pf_absorb: PowerFactorTable | None = None
    """Power factor while it absorbs."""
    fixed_var: FixedVarTable | None = None
    """Reactive power as a share."""
    freq_droop: FreqDroopTable | None = None
    """Frequency-watt by parameters."""
    freq_watt: str | None = None
    """Name of a curve; so are the next fourteen."""
    hfrt_may_trip: str | None = None
    """High frequency, may trip."""
    hfrt_must_trip: str | None = None
    """High frequency, must trip."""
    hvrt_may_trip: str | None = None
    """High voltage, may trip."""
    hvrt_momentary_cessation: str | None = None
    """High voltage, momentary cessation."""
    hvrt_must_trip: str | None = None
    """High voltage, must trip."""
    lfrt_may_trip: str | None = None
    """Low frequency, may trip."""
    lfrt_must_trip: str | None = None
    """Low frequency, must trip."""
    lvrt_may_trip: str | None = None
    """Low voltage, may trip."""
    lvrt_momentary_cessation: str | None = None
    """Low voltage, momentary cessation."""
    lvrt_must_trip: str | None = None
    """Low voltage, must trip."""
    volt_var: str | None = None
    """Volt-var."""
    volt_watt: str | None = None
    """Volt-watt."""
    watt_pf: str | None = None
    """Watt-power factor."""
    watt_var: str | None = None
    """Watt-var."""
    ramp_tms_s: float | None = Field(default=None, ge=0, le=655.35)
    """Ramp time to the new value [s]."""
    import_limit_kw: Limit | None = None
    """CSIP-AUS: highest import at the connection point [kW]."""
    export_limit_kw: Limit | None = None
    """CSIP-AUS: highest export at the connection point [kW]."""
    generation_limit_kw: Limit | None = None
    """CSIP-AUS: highest discharge or generation of a DER [kW]."""
    load_limit_kw: Limit | None = None
    """CSIP-AUS: highest charge of a DER [kW]."""

    @property
    def curves(self) -> dict[str, str]:
        """Names of the curves asked for, by mode."""
        found = ((mode, getattr(self, mode)) for mode in CURVE_MODES)
        return {mode: name for mode, name in found if name is not None}


class CurveTable(Table):
    """`[[ieee2030_5.curve]]`: a DERCurve."""

    name: Name
    """Name by which controls ask for it."""
    type: CurveType
    """The mode it is for."""
    points: Annotated[list[list[float]], AfterValidator(_points)]
    """Pairs of x and y: voltage in % of reference, frequency in Hz, power in %, time in s, power
    factor in 1, as the type has it; of ride-through curves x is the time."""
    y_ref: Literal[
        "none", "set_max_w", "set_max_var", "stat_var_avail", "set_effective_v", "set_max_charge_w",
        "set_max_discharge_w", "stat_w_avail",
    ] | None = None  # fmt: skip
    """What y is a share of; default: as usual for the type."""
    excitation: list[Literal["over", "under"]] | None = None
    """Of watt_pf: side of each point; default: all over."""
    mrid: Mrid | None = None
    """Default: made of the name."""
    description: Description = ""
    """Text shown to clients; default: the name."""
    autonomous_vref: bool | None = None
    """Of volt_var: the device finds its reference voltage by itself."""
    autonomous_vref_tms_s: float | None = Field(default=None, ge=0, le=2**32 / 100 - 1)
    """Of volt_var: how slowly it does so [s]."""
    v_ref_pct: float | None = Field(default=None, gt=0, le=100)
    """Of volt_var: reference voltage [% of nominal]."""
    open_loop_tms_s: float | None = Field(default=None, ge=0, le=655.35)
    """Open-loop response time [s]."""
    ramp_dec_pct_per_s: float | None = Field(default=None, ge=0, le=655.35)
    """Ramp down along the curve; 0: at once [%/s]."""
    ramp_inc_pct_per_s: float | None = Field(default=None, ge=0, le=655.35)
    """Ramp up along the curve; 0: at once [%/s]."""
    ramp_pt1_tms_s: float | None = Field(default=None, ge=0, le=655.35)
    """Time constant of a first-order response [s]."""


class EventTable(Table):
    """`[[ieee2030_5.program.control]]`: a DERControl that is published when the server starts."""

    start: Annotated[AwareDatetime, Field(strict=False)] | None = None
    """When it starts, with zone; or start_in_s."""
    start_in_s: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """How long after it is first published [s]."""
    duration_s: int = Field(gt=0, le=2**31 - 1)
    """How long it holds [s]."""
    random_start_s: Randomised | None = None
    """Clients begin up to so much earlier or later [s]."""
    random_duration_s: Randomised | None = None
    """Clients hold it for up to so much less or more [s]."""
    responses: list[Literal["received", "events", "customer"]] = Field(
        default=["received", "events"]
    )
    """What clients are to answer: that it arrived, what became of it, what the customer did."""
    mrid: Mrid | None = None
    """Default: made of program and content, so that a restart does not publish it again."""
    description: Description = ""
    """Text shown to clients."""
    base: ControlBaseTable
    """What it asks for."""


class EnterServiceTable(Table):
    """When and how a DER may begin to deliver power, IEEE 1547-2018, 4.10."""

    delay_s: float | None = Field(default=None, ge=0, le=2**32 / 100 - 1)
    """setESDelay: how long voltage and frequency must have been within the bounds [s]."""
    high_hz: float | None = Field(default=None, ge=0, le=655.35)
    """setESHighFreq [Hz]."""
    low_hz: float | None = Field(default=None, ge=0, le=655.35)
    """setESLowFreq [Hz]."""
    high_v_pct: float | None = Field(default=None, ge=-327.68, le=327.67)
    """setESHighVolt [% of the effective voltage]."""
    low_v_pct: float | None = Field(default=None, ge=-327.68, le=327.67)
    """setESLowVolt [% of the effective voltage]."""
    ramp_tms_s: float | None = Field(default=None, ge=0, le=2**32 / 100 - 1)
    """setESRampTms: time to full power [s]."""
    random_delay_s: float | None = Field(default=None, ge=0, le=2**32 / 100 - 1)
    """setESRandomDelay: drawn by the DER up to this [s]."""


class ProgramTable(Table):
    """`[[ieee2030_5.program]]`: a DERProgram, and the group of devices it is assigned to."""

    name: ProgramName
    """Name; `groups` of a device name it."""
    description: Description = ""
    """Text shown to clients; default: the name."""
    primacy: int = Field(default=10, ge=1, le=254)
    """Lower goes first: 1 aggregator, 2 utility; 3 to 254 as one likes.

    0 and 255 are the dispatch's own: it goes before all, and, handed back, behind all.
    """
    mrid: Mrid | None = None
    """Default: made of the name."""
    default: ControlBaseTable | None = None
    """What holds while no event does."""
    set_grad_w_pct_per_s: float | None = Field(default=None, ge=0, le=655.35)
    """Of the default: ramp rate; 0: no limit [%/s]."""
    set_soft_grad_w_pct_per_s: float | None = Field(default=None, ge=0, le=655.35)
    """Of the default: ramp rate after a start [%/s]."""
    enter_service: EnterServiceTable | None = None
    """Of the default: when and how a DER begins."""
    curves: list[str] = Field(default=[])
    """Curves that the program lists beside those its controls ask for."""
    control: list[EventTable] = Field(default=[])
    """Events."""


class GroupTable(Table):
    """`[[ieee2030_5.group]]`: programs that devices are assigned to together."""

    name: ProgramName
    """Name, unique among groups and programs; `groups` of a device name it."""
    programs: list[str] = Field(min_length=1)
    """Names of its programs."""
    description: Description = ""
    """Text shown to clients; default: the name."""
    mrid: Mrid | None = None
    """Default: made of the name."""
