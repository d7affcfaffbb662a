"""What many tests start from: the reference segment, and a cycle on devices in memory."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from ems.domain import (
    CycleRecord,
    DerReading,
    Forecast,
    Limits,
    LoadReading,
    Policy,
    Pv,
    PvForecast,
    Site,
    Snapshot,
)
from ems.gateways.memory import MemoryField
from ems.ports import History, Ports
from ems.reproduce import LOAD_KW, MINUTE_840, PRICE_USD_PER_KWH, reference_site
from feeders import Feeder
from forecasting.record import PlantRecord

NOW = MINUTE_840
AUTO = Policy(control="auto")


def segment(*, band_pct: float = 2.0, pv_q_max_kvar: float = 0.0, **limits: float) -> Site:
    """The reference site with a load band, as the service runs it."""
    site = reference_site(pv_q_max_kvar=pv_q_max_kvar)
    kept = {"v_min_pu": 0.88, "v_max_pu": 1.10} | limits
    ders = tuple(replace(d, reversion_kw=1000.0) if isinstance(d, Pv) else d for d in site.ders)
    return replace(site, ders=ders, limits=Limits(load_band_pct=band_pct, **kept))


def snapshot(site: Site, load_kw: float = LOAD_KW, now: datetime = NOW, **p_kw: float) -> Snapshot:
    """Everything measured well: PV 7953, DG 2997, BES 0 kW unless given."""
    powers = {"pv": 7953.0, "dg": 2997.0, "bes": 0.0} | p_kw
    return Snapshot(
        time=now,
        load=LoadReading(time=now, p_kw=load_kw),
        ders={
            d.name: DerReading(
                der=d.name, time=now, p_kw=powers[d.name], q_kvar=0.0,
                soc_pct=60.0 if d.name == "bes" else None,
            )
            for d in site.ders
        },
    )  # fmt: skip


def sky(expected_kw: float, upper_kw: float, load_kw: float = LOAD_KW) -> Forecast:
    """A forecast for the reference PV plant."""
    pv = PvForecast(expected_kw=expected_kw, lower_kw=0.0, upper_kw=upper_kw, method="given")
    return Forecast(start=NOW, pv={"pv": pv}, load_kw=load_kw)


class GivenForecast:
    """A forecaster that says what it was told; the load stays as measured."""

    def __init__(self, expected_kw: float, upper_kw: float) -> None:
        self.expected_kw = expected_kw
        self.upper_kw = upper_kw

    def predict(self, site: Site, snapshot: Snapshot, history: History) -> Forecast:  # noqa: ARG002
        return replace(
            sky(self.expected_kw, self.upper_kw, snapshot.load.p_kw), start=snapshot.time
        )


def available(series: "pd.Series[float]", since: datetime, until: datetime) -> PlantRecord:
    """What a history that measured a series of 15-minute means, and never capped, tells."""
    starts = pd.date_range(since, until, freq="15min", inclusive="left")
    known = pd.Series(np.nan, index=starts) if series.empty else series.reindex(starts)
    made = np.asarray(known, dtype=np.float64)
    return PlantRecord(
        starts=starts,
        parts_kw=made[:, None].copy(),
        floor_kw=made.copy(),
        cap_kw=np.full(len(starts), np.inf),
    )


class NoHistory:
    def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:  # noqa: ARG002
        return available(pd.Series(dtype=float), since, until)

    def load_kw(self, since: datetime, until: datetime) -> "pd.Series[float]":  # noqa: ARG002
        return pd.Series(dtype=float, index=pd.DatetimeIndex([], tz=UTC))


class Kept:
    """A journal that keeps records in a list."""

    def __init__(self) -> None:
        self.records: list[CycleRecord] = []

    def append(self, record: CycleRecord) -> None:
        self.records.append(record)


def ports(
    site: Site,
    field: MemoryField | None = None,
    forecast: GivenForecast | None = None,
    p_kw: Mapping[str, float] | None = None,
) -> Ports:
    """A world of devices in memory on the reference feeder."""
    powers = {"pv": 7953.0, "dg": 2997.0, "bes": 0.0} | dict(p_kw or {})
    return Ports(
        field=field or MemoryField(site, load_kw=LOAD_KW, p_kw=powers),
        network=Feeder.open("segment13", site.placements),
        history=NoHistory(),
        forecaster=forecast or GivenForecast(10_000.0, 10_000.0),
        journal=Kept(),
    )


__all__ = [
    "AUTO", "LOAD_KW", "NOW", "PRICE_USD_PER_KWH", "GivenForecast", "Kept", "NoHistory",
    "available", "ports", "segment", "sky", "snapshot",
]  # fmt: skip
