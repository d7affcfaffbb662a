"""The tables of a site file, as pydantic models: keys, units, bounds, defaults.

What one key may be stands here; what several keys must be together stands in `rules`.
`docs/configuration.md` describes every key, and a test keeps it complete.
"""

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field

from ems import domain
from ems.settings.base import Table
from ems.settings.devices import Device, Host
from ems.tariff import Calendar, Days, Tariff, flat, from_table, minute_of_day, month_and_day, named

PRESETS = {"ieee_1547_continuous": (0.88, 1.10), "ansi_c84_1_a": (0.95, 1.05)}
"""Voltage limits by name: lowest and highest [pu]. IEEE 1547-2018, continuous
operation; ANSI C84.1, service voltage range A."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as fault:
        raise ValueError(
            f'no time zone is called "{name}"; write for example "America/Los_Angeles"'
        ) from fault
    return name


def _day(text: str) -> str:
    try:
        month_and_day(text)
    except ValueError as fault:
        raise ValueError(f'"{text}" is no day of the year; write MM-DD, as "05-01"') from fault
    return text


def _time(text: str) -> str:
    try:
        minute = minute_of_day(text)
    except ValueError:
        minute = -1
    if not 0 <= minute <= 1440:
        raise ValueError(f'"{text}" is no time of day; write HH:MM, as "08:30"')
    return text


def _terminal(value: Any) -> Any:
    named = isinstance(value, str) and value in ("keep", "free")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if named or (number and 0 <= value <= 100):
        return value
    got = f'"{value}"' if isinstance(value, str) else str(value).lower()
    raise ValueError(f'expected "keep", "free" or a state of charge from 0 to 100, got {got}')


Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,30}$")]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Efficiency = Annotated[float, Field(gt=0, le=1)]
Voltage = Annotated[float, Field(gt=0, le=2)]
Zone = Annotated[str, AfterValidator(_zone)]
MonthDay = Annotated[str, AfterValidator(_day)]
TimeOfDay = Annotated[str, AfterValidator(_time)]


class SiteTable(Table):
    """`[site]`: what and where."""

    name: Name
    """Name of the site; it labels every record."""
    latitude_deg: float = Field(ge=-90, le=90)
    """Latitude, north positive [°]."""
    longitude_deg: float = Field(ge=-180, le=180)
    """Longitude, east positive [°]."""
    timezone: Zone
    """Zone for display and for a tariff of your own; everything inside is UTC."""


class FeederTable(Table):
    """`[feeder]`: the model every decision is proved on."""

    source: str = Field(min_length=1)
    """Name of a shipped feeder, or path of a .dss file, relative to the site file."""


class LimitsTable(Table):
    """`[limits]`: what the grid code asks."""

    preset: Literal["ieee_1547_continuous", "ansi_c84_1_a"] = "ieee_1547_continuous"
    """Voltage limits by name."""
    v_min_pu: Voltage | None = None
    """Lowest voltage, in place of the preset's [pu]."""
    v_max_pu: Voltage | None = None
    """Highest voltage, in place of the preset's [pu]."""
    loading_max_pct: Positive = 100.0
    """Highest loading of a line or transformer [% of its normal rating]."""
    watch_loading: bool = True
    """False leaves loading out of the decision."""
    load_band_pct: float = Field(default=2.0, ge=0, le=50)
    """How far the load may move within an interval [% of the measured load]."""

    momentary_v_min_pu: Voltage | None = None
    """Lowest voltage until regulators have acted; `v_min_pu` where absent [pu]."""
    momentary_v_max_pu: Voltage | None = None
    """Highest voltage until regulators have acted; `v_max_pu` where absent [pu]."""

    def to_limits(self) -> domain.Limits:
        """The same in the vocabulary of the stages."""
        lowest, highest = PRESETS[self.preset]
        return domain.Limits(
            v_min_pu=lowest if self.v_min_pu is None else self.v_min_pu,
            v_max_pu=highest if self.v_max_pu is None else self.v_max_pu,
            loading_max_pct=self.loading_max_pct if self.watch_loading else None,
            load_band_pct=self.load_band_pct,
            momentary_v_min_pu=self.momentary_v_min_pu,
            momentary_v_max_pu=self.momentary_v_max_pu,
        )


class LoadTable(Table):
    """`[load]`: the aggregate load and its meter."""

    max_kw: Positive
    """Largest load of the segment [kW]."""
    min_kw: NotNegative
    """Lowest load of the segment; reversion values are verified at it [kW]."""
    device: Device
    """The meter of the aggregate load."""


class SeasonTable(Table):
    """`season` of a tariff."""

    start: MonthDay
    """First day, MM-DD."""
    end: MonthDay
    """Last day, MM-DD; before `start` when the season runs over New Year."""


class WindowTable(Table):
    """One of the `windows` of a tariff period."""

    days: Days
    """`weekdays` (without holidays), `days_off` (weekends and holidays) or `all`."""
    start: TimeOfDay
    """First instant, HH:MM in the tariff's zone."""
    end: TimeOfDay
    """First instant after it; 24:00 is midnight."""


class PeriodTable(Table):
    """`[[tariff.period]]`: instants that share a price."""

    name: Name
    """Name of the period."""
    usd_per_kwh: float
    """Price of grid energy; may be negative [$/kWh]."""
    windows: list[WindowTable] = Field(default_factory=list)
    """When; exactly one period has none, and holds whatever the others leave."""


class TariffTable(Table):
    """`[tariff]`: a shipped tariff, a flat price, or periods of your own."""

    name: str | None = None
    """A tariff that ships with GEEMS."""
    outside_season_usd_per_kwh: float | None = None
    """Price outside the tariff's season; needed when it has one [$/kWh]."""
    flat_usd_per_kwh: float | None = None
    """One price at all times [$/kWh]."""
    zone: Zone | None = None
    """Zone of your own periods; default: the site's."""
    holidays: Calendar | None = None
    """Days that count as days off: "pge" or "none"."""
    season: SeasonTable | None = None
    """The part of the year your own periods are for; default: all of it."""
    period: list[PeriodTable] = Field(default_factory=list)
    """Your own periods."""

    def to_tariff(self, site: SiteTable) -> Tariff:
        """The same in the vocabulary of the stages."""
        if self.flat_usd_per_kwh is not None:
            return flat(self.flat_usd_per_kwh)
        outside = self.outside_season_usd_per_kwh
        if self.name is not None:
            return named(self.name, outside_season_usd_per_kwh=outside)
        table = {"zone": site.timezone} | self.model_dump(exclude_none=True)
        return from_table(site.name, table, outside_season_usd_per_kwh=outside)


class DispatchTable(Table):
    """`[dispatch]`: how the cheapest mix is found."""

    mode: Literal["geems", "paper"] = "geems"
    """`geems` re-linearises until a load flow verifies, with P and Q; `paper` is one shot,
    rows at violating nodes only, active power only."""
    loss_factor: float | None = Field(default=None, ge=0, lt=1)
    """K of eq. (2): losses as a fraction of the load; default: as the last load flow had it [1]."""
    q_cost_usd_per_kvarh: NotNegative = 1e-4
    """Small price on reactive power of either sign, so that its setpoints are unique [$/kvarh]."""
    curtailment_usd_per_kwh: NotNegative = 0.0
    """Price of PV energy that is available and not used [$/kWh]."""
    fairness: Literal["least_cost", "equal_share", "proportional"] = "least_cost"
    """Who bears curtailment: whoever is cheapest; every plant of a group at the same fraction; or
    each by proportional fairness."""
    confidence: float = Field(default=1.0, gt=0.5, le=1)
    """How sure the low end of the sun and both ends of the load are, in the proofs: at 0.95 the sun
    stays above it in 95 % of the intervals; 1: there may be no sun at all [1]."""
    look_ahead: bool = False
    """Plan the day ahead and send its first interval: storage moves by what its energy is worth
    over the day, not by `weight_usd_per_kwh`."""
    terminal_soc: Annotated[Literal["keep", "free"] | float, BeforeValidator(_terminal)] = "keep"
    """What batteries must hold when the plan ends: `keep`, no less than now; `free`, whatever
    pays; or a least state of charge [%]."""


class GridTable(Table):
    """`[grid]`: prices and limits at the point of common coupling."""

    export_price_usd_per_kwh: float | None = None
    """What exported energy earns; default: what imported energy costs [$/kWh]."""
    import_limit_kw: NotNegative | None = None
    """Most power taken from the grid; default: no limit [kW]."""
    export_limit_kw: NotNegative | None = None
    """Most power given to the grid, every PV plant at its cap; default: no limit [kW]."""
    demand_charge_usd_per_kw: NotNegative = 0.0
    """Price of raising the month's highest import [$/kW]."""
    power_factor_min: Efficiency | None = None
    """Least power factor, leading or lagging; default: no limit [1]."""
    load_power_factor: Efficiency = 0.95
    """Power factor of the load, lagging, where its reactive power is not known [1]."""


class ForecastTable(Table):
    """`[forecast]`: how the sun of the next interval is foretold."""

    method: Literal["lstm", "paper_lstm", "smart_persistence", "clear_sky"] = "lstm"
    """Best rung of the ladder; a cycle steps down by itself when history does not carry it.
    `paper_lstm` is the published model, for comparison."""
    models: str | None = Field(default=None, min_length=1)
    """Folder of models of your own, relative to the site file; default: those that ship."""
    weather_file: str | None = Field(default=None, min_length=1)
    """CSV or Parquet file of a weather service, relative to the site file, for the look-ahead;
    default: none."""


class ControlTable(Table):
    """`[control]`: who acts, and what holds when nobody does."""

    mode: Literal["advisory", "auto"] | None = None
    """`advisory` never writes, `auto` does. Default: `auto` when every device is on loopback,
    else `advisory`."""
    reversion_s: int = Field(default=300, ge=60, le=86400)
    """After how long without a refresh a device falls back by itself [s]."""
    keep_alive_s: float = Field(default=60.0, ge=1, le=900)
    """How often the service refreshes the commands in force [s]."""
    response_s: float = Field(default=30.0, gt=0, le=600)
    """How long a device may take until its measurement follows; a generator besides what its ramp
    takes [s]."""
    deadband_pct: float = Field(default=0.5, ge=0, le=5)
    """A setpoint nearer than this to what the device holds is left as it is, where load flows
    verify that [% of the rating]."""
    stale_after_s: Positive = 120.0
    """Age from which a measurement counts as stale [s]."""
    poll_s: float = Field(default=10.0, ge=0.1, le=900)
    """How often devices are polled between cycles [s]."""
    solver: Literal["auto", "ipopt", "highs"] = "auto"
    """Who solves the dispatch: `auto` gives linear problems to HiGHS and quadratic ones
    (`s_max_kva`) to Ipopt."""
    solver_limit_s: float = Field(default=20.0, gt=0, le=300)
    """Wall time one dispatch may take in the solver [s]."""
    feedback: bool = True
    """Whether voltages that devices measure correct the modelled ones."""
    feedback_max_pu: float = Field(default=0.03, gt=0, le=0.04)
    """Largest correction at any bus [pu]."""
    mismatch_alarm_pu: Positive = 0.01
    """Lasting difference between measured and modelled voltage from which an alarm names the bus
    [pu]."""

    def to_feedback(self) -> domain.Feedback:
        """The same in the vocabulary of the stages."""
        return domain.Feedback(
            on=self.feedback, max_pu=self.feedback_max_pu, alarm_pu=self.mismatch_alarm_pu
        )


class StoreTable(Table):
    """`[store]`: where records are kept."""

    path: str = Field(default="geems.sqlite", min_length=1)
    """SQLite file, relative to the site file."""


class WebTable(Table):
    """`[web]`: the page and the REST interface."""

    host: Host = "127.0.0.1"
    """Address to serve on; loopback only, until authentication exists."""
    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port; 0 takes any free one."""


class DerTable(Table):
    """What every DER has."""

    name: Name
    """Name, unique in the site."""
    bus: str = Field(min_length=1)
    """Bus of the feeder it stands at."""
    rated_kw: float = Field(gt=0, le=1e6)
    """Rated active power [kW]."""
    q_max_kvar: NotNegative = 0.0
    """Reactive power it may inject or absorb at any active power [kvar]."""
    phases: int = Field(default=3, ge=1, le=3)
    """Number of phases of the connection."""
    device: Device
    """Where it answers."""


class PvTable(DerTable):
    """`[[pv]]`: a photovoltaic plant."""

    reversion_kw: NotNegative = 0.0
    """Cap the device falls back to by itself when GEEMS is silent [kW]."""
    tilt_deg: float = Field(default=20.0, ge=0, le=90)
    """Tilt of the modules from horizontal [°]."""
    azimuth_deg: float = Field(default=180.0, ge=0, lt=360)
    """Direction the modules face, clockwise from north [°]."""
    s_max_kva: Positive | None = None
    """Capability of the inverter, P² + Q² ≤ S²; default: P and Q each to its own limit [kVA]."""
    group: str = ""
    """Plants that bear curtailment alike under `equal_share`; empty: with all that name none."""

    def to_der(self) -> domain.Pv:
        """The same in the vocabulary of the stages."""
        return domain.Pv(**self.model_dump(exclude={"device"}))


class BesTable(DerTable):
    """`[[bes]]`: a battery energy storage."""

    capacity_kwh: Positive
    """Usable energy from 0 to 100 % state of charge [kWh]."""
    soc_min_pct: Percent = 20.0
    """Lowest state of charge [%]."""
    soc_max_pct: Percent = 100.0
    """Highest state of charge [%]."""
    eta_charge: Efficiency = 0.92
    """Energy stored per energy taken at the bus [1]."""
    eta_discharge: Efficiency = 0.92
    """Energy delivered at the bus per energy drawn from storage [1]."""
    weight_usd_per_kwh: NotNegative = 0.16
    """Worth of one kWh at the bus, w_es of eq. (1) [$/kWh]."""
    s_max_kva: Positive | None = None
    """Capability of the inverter, P² + Q² ≤ S²; default: P and Q each to its own limit [kVA]."""

    def to_der(self) -> domain.Bes:
        """The same in the vocabulary of the stages."""
        return domain.Bes(**self.model_dump(exclude={"device"}))


class DgTable(DerTable):
    """`[[dg]]`: a dispatchable generator."""

    cost_usd_per_kwh: NotNegative
    """Fuel and wear per energy delivered [$/kWh]."""
    min_kw: NotNegative = 0.0
    """Least power while it runs [kW]."""
    ramp_up_kw_per_h: Positive | None = None
    """R^U; default: no limit [kW/h]."""
    ramp_down_kw_per_h: Positive | None = None
    """R^D; default: no limit [kW/h]."""
    reversion_kw: NotNegative = 0.0
    """Power the device falls back to by itself when GEEMS is silent [kW]."""

    def to_der(self) -> domain.Dg:
        """The same in the vocabulary of the stages."""
        return domain.Dg(**self.model_dump(exclude={"device"}, exclude_none=True))
