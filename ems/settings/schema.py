"""A whole site file: its sections, and what they become in the vocabulary of the stages."""

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import InitSettingsSource

from ems import domain
from ems.settings.devices import Device
from ems.settings.hosts import is_loopback
from ems.settings.ieee2030_5 import Ieee20305Table
from ems.settings.mqtt import MqttTable
from ems.settings.tables import (
    BesTable,
    ControlTable,
    DgTable,
    DispatchTable,
    FeederTable,
    ForecastTable,
    GridTable,
    LimitsTable,
    LoadTable,
    PvTable,
    SiteTable,
    StoreTable,
    TariffTable,
    WebTable,
)
from ems.settings.utility import UtilityTable
from ems.tariff import Tariff

DERS = ("pv", "bes", "dg")
"""Arrays of tables that hold the DERs."""
MOST_NAMED = 3
"""Devices that are told by name where many are meant."""


class Settings(BaseSettings):
    """A whole site file, read and checked."""

    model_config = SettingsConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        env_prefix="GEEMS_",
        env_nested_delimiter="__",
    )

    site: SiteTable
    """What and where."""
    feeder: FeederTable
    """The model every decision is proved on."""
    limits: LimitsTable = LimitsTable()
    """What the grid code asks."""
    load: LoadTable
    """The aggregate load and its meter."""
    tariff: TariffTable
    """What grid energy costs."""
    dispatch: DispatchTable = DispatchTable()
    """How the cheapest mix is found."""
    grid: GridTable = GridTable()
    """Prices and limits at the point of common coupling."""
    forecast: ForecastTable = ForecastTable()
    """How the sun of the next interval is foretold."""
    control: ControlTable = ControlTable()
    """Who acts, and what holds when nobody does."""
    store: StoreTable = StoreTable()
    """Where records are kept."""
    web: WebTable = WebTable()
    """The page and the REST interface."""
    mqtt: MqttTable | None = None
    """A broker that is told what is measured and decided; default: none."""
    ieee2030_5: Ieee20305Table | None = None
    """A server for DERs that speak IEEE 2030.5; default: none."""
    utility: UtilityTable | None = None
    """A utility's IEEE 2030.5 server that limits the site; default: none."""
    pv: list[PvTable] = []
    """Photovoltaic plants."""
    bes: list[BesTable] = []
    """Battery energy storages."""
    dg: list[DgTable] = []
    """Dispatchable generators."""

    _file: Path = Path("site.toml")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the base class's
        init_settings: InitSettingsSource,  # type: ignore[override]  # what the base class hands in
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values only from the call: `sources` merges the layers and knows their origin."""
        return (init_settings,)

    @property
    def file(self) -> Path:
        """The site file this was read from."""
        return self._file

    @property
    def ders(self) -> tuple[PvTable | BesTable | DgTable, ...]:
        """All DERs: PV, storage, generators, each in file order."""
        return (*self.pv, *self.bes, *self.dg)

    def store_path(self) -> Path:
        """The SQLite file."""
        return self._file.parent / self.store.path

    def models_path(self) -> Path | None:
        """Folder of the user's own models; None: those that ship."""
        return self._beside(self.forecast.models)

    def weather_path(self) -> Path | None:
        """File of a weather service; None: none."""
        return self._beside(self.forecast.weather_file)

    def _beside(self, path: str | None) -> Path | None:
        return None if path is None else self._file.parent / path

    def feeder_source(self) -> str:
        """A shipped feeder's name, or the absolute path of a .dss file."""
        return feeder_source(self.feeder.source, self._file.parent)

    def to_site(self) -> domain.Site:
        """What is installed, in the vocabulary of the stages."""
        return domain.Site(
            name=self.site.name,
            latitude_deg=self.site.latitude_deg,
            longitude_deg=self.site.longitude_deg,
            ders=tuple(der.to_der() for der in self.ders),
            limits=self.limits.to_limits(),
            load_max_kw=self.load.max_kw,
            load_min_kw=self.load.min_kw,
            loss_factor=self.dispatch.loss_factor or 0.0,
            q_cost_usd_per_kvarh=self.dispatch.q_cost_usd_per_kvarh,
            fairness=self.dispatch.fairness,
            curtailment_usd_per_kwh=self.dispatch.curtailment_usd_per_kwh,
            **self.grid.model_dump(),
            solver=self.control.solver,
            zone=self.site.timezone,
        )

    def to_policy(self) -> domain.Policy:
        """How the site is run; advisory unless every device is on loopback or `auto` is asked."""
        return domain.Policy(
            mode=self.dispatch.mode,
            control=self.control_mode()[0],
            reversion_s=self.control.reversion_s,
            keep_alive_s=self.control.keep_alive_s,
            response_s=self._response_s(),
            deadband_pct=self.control.deadband_pct,
            stale_after_s=self.control.stale_after_s,
            fit_losses=self.dispatch.loss_factor is None,
            feedback=self.control.to_feedback(),
            solver_limit_s=self.control.solver_limit_s,
            look_ahead=self.dispatch.look_ahead,
            terminal_soc=self.dispatch.terminal_soc,
        )

    def control_mode(self) -> tuple[Literal["advisory", "auto"], str]:
        """Whether setpoints are written, and why so."""
        if self.control.mode is not None:
            return self.control.mode, "control.mode says so"
        away = [n for n, a in self.addresses().items() if not is_loopback(a.host)]
        if away:
            named = ["the load meter" if name == "load" else name for name in away[:MOST_NAMED]]
            if more := len(away) - len(named):
                named.append(f"{more} more")
            *others, last = named
            told = f"{', '.join(others)} and {last} are" if others else f"{last} is"
            return "advisory", f"{told} not on this machine"
        if self.end_devices() and not is_loopback(self._served().host):
            return "advisory", "devices of its IEEE 2030.5 server may be on other machines"
        return "auto", "every device is on this machine"

    def to_tariff(self) -> Tariff:
        """What grid energy costs."""
        return self.tariff.to_tariff(self.site)

    def addresses(self) -> dict[str, domain.DeviceAddress]:
        """Where each DER answers Modbus, by name, and under `load` the meter of the load."""
        folder = self._file.parent
        return {
            name: device.to_address(folder)
            for name, device in self._devices().items()
            if device.protocol == "modbus"
        }

    def end_devices(self) -> dict[str, domain.EndDeviceAddress]:
        """Which end device of our server each DER is that speaks IEEE 2030.5, likewise."""
        return {
            name: device.to_end_device(self._served().poll_rate_s)
            for name, device in self._devices().items()
            if device.protocol == "ieee2030_5"
        }

    def _devices(self) -> dict[str, Device]:
        return {der.name: der.device for der in self.ders} | {"load": self.load.device}

    def _served(self) -> Ieee20305Table:
        """The server; `rules` has it that there is one where a device needs it."""
        assert self.ieee2030_5 is not None  # noqa: S101 - as said
        return self.ieee2030_5

    def _response_s(self) -> float:
        """How long a measurement may take to follow: what is mirrored is a mean, and comes late."""
        mirrored_s = self._served().post_rate_s if self.end_devices() else 0
        return self.control.response_s + mirrored_s


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The table an annotation holds, alone, in a list or beside None; else None."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def is_path(source: str) -> bool:
    """True when a feeder source is a file of the user's, not the name of a shipped feeder."""
    return source.lower().endswith(".dss") or "/" in source


def feeder_source(source: str, folder: Path) -> str:
    """A shipped feeder's name, or the absolute path of a file given relative to `folder`."""
    return str((folder / source).resolve()) if is_path(source) else source
