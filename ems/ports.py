"""What the cycle needs from the outside, as protocols.

The shell hands in adapters; the stages know nothing else of the world.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ems.domain import (
    Command,
    CycleRecord,
    DerReading,
    Forecast,
    Horizon,
    Injections,
    Linearisation,
    LoadFlow,
    LoadReading,
    Readback,
    Regulation,
    Site,
    Snapshot,
)
from ems.errors import DeviceError

if TYPE_CHECKING:  # pandas and pvlib, 1 s, and most commands make no forecast
    import pandas as pd

    from forecasting.record import PlantRecord


class Field(Protocol):
    """All devices of a site: one answer per device, so that a dead one delays no other."""

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        """Read every DER; keys are all the DER names."""
        ...

    def read_load(self, now: datetime) -> LoadReading | DeviceError:
        """Read the aggregate load meter."""
        ...

    def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        """Write each command, read its registers back; devices in parallel.

        A `RefusedWrite` says that nothing was written; any other `DeviceError` that
        what the device now holds is not known.
        """
        ...

    def close(self) -> None:
        """End all connections."""
        ...


class Network(Protocol):
    """The feeder model the decision is proved on (`feeders.Feeder`)."""

    @property
    def regulated(self) -> bool:
        """Whether taps or capacitors move by themselves."""
        ...

    def load_flow(self, at: Injections, *, controls: bool = False) -> LoadFlow:
        """Solve the feeder at one operating point.

        Args:
            at: powers, and where taps and capacitors stand.
            controls: let regulators and capacitor controls act until they rest; the answer's
                `regulation` says where.
        """
        ...

    def load_flows(self, points: Sequence[Injections]) -> Sequence[LoadFlow]:
        """As `load_flow` of each, taps and capacitors frozen; it may be quicker."""
        ...

    def linearise(self, at: Injections) -> Linearisation:
        """Differentiate the feeder at one operating point, taps and capacitors frozen."""
        ...


class History(Protocol):
    """What was measured before now."""

    def pv_record(self, der: str, since: datetime, until: datetime) -> "PlantRecord":
        """What is known of the power a PV plant could make.

        Every interval from `since` until just before `until`; censored where a cap was in force.
        """
        ...

    def load_kw(self, since: datetime, until: datetime) -> "pd.Series[float]":
        """15-minute means of the load [kW].

        Index: UTC interval start, from `since` until just before `until`; NaN where unknown.
        """
        ...


@runtime_checkable
class FleetHistory(History, Protocol):
    """A history that reads many plants as quickly as one; it need not."""

    def pv_records(
        self, ders: Sequence[str], since: datetime, until: datetime
    ) -> "Mapping[str, PlantRecord]":
        """`pv_record` of each of the plants, by name."""
        ...


class Forecaster(Protocol):
    """Who tells the power that will be available."""

    def predict(self, site: Site, snapshot: Snapshot, history: History) -> Forecast:
        """Forecast the interval that holds `snapshot.time`.

        Never raises for bad history: it steps down the ladder and says so in `notes`.
        """
        ...


class Outlook(Protocol):
    """Who tells prices, load and sun of the day ahead."""

    def ahead(
        self, site: Site, snapshot: Snapshot, forecast: Forecast, history: History
    ) -> Horizon:
        """The intervals from that of `forecast` on. Never raises for bad history."""
        ...


class Meter(Protocol):
    """Who tells what was drawn from the grid."""

    def imported_kw(
        self, since: datetime, until: datetime, loss_factor: float
    ) -> Mapping[datetime, float]:
        """Mean import of whole intervals by their starts, UTC; export negative [kW].

        One that was not measured is missing.

        Args:
            since: start of the first.
            until: end of the last.
            loss_factor: K of eq. (2), where losses have to be added to what is measured [1].
        """
        ...


class Audience(Protocol):
    """Who is told what goes on. Returns at once, and never raises for a network."""

    @property
    def fault(self) -> str:
        """Why nobody hears it at present; empty where somebody does."""
        ...

    def readings(
        self, now: datetime, answers: Mapping[str, DerReading | LoadReading | DeviceError]
    ) -> None:
        """What the devices answered to a poll, the load's meter under `load`."""
        ...

    def cycle(self, record: CycleRecord) -> None:
        """What a cycle foresaw, decided and sent."""
        ...


class Journal(Protocol):
    """Where cycles are kept."""

    def append(self, record: CycleRecord) -> None:
        """Keep one record, durably."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything the cycle is handed."""

    field: Field
    network: Network
    history: History
    forecaster: Forecaster
    journal: Journal
    outlook: Outlook | None = None
    """Only the look-ahead needs it."""
    meter: Meter | None = None
    """Only a demand charge needs it; None: what was decided stands in for what was drawn."""
    regulation: Callable[[], Regulation | None] = lambda: None
    """Where taps and capacitors stand, where somebody knows."""
    feeder: str = ""
    """What the network was made from: name and digest (`feeders.fingerprint`); empty: not told."""
