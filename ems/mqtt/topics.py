"""What is told, and where: records and readings as topics with JSON.

Topics below `<prefix>/<site>`:

- `status`: `online`, or `offline` once the connection breaks (the broker says it for us)
- `cycle`: state, cost, alarms and reason of the last cycle
- `<der>/measurement`, `load/measurement`: what a device reports at each poll
- `<der>/forecast`: power expected in the interval, with its quantiles
- `<der>/setpoint`: what was asked of a device, and what became of it

All are retained, so that who comes late knows the state; every payload carries its time.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ems.domain import Advised, CycleRecord, DerReading, LoadReading, Sent, Setpoint
from ems.errors import DeviceError

LOAD = "load"
"""Level of the aggregate load's topics; no DER may have this name."""
ONLINE, OFFLINE = "online", "offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One retained message."""

    topic: str
    payload: str
    """Text; JSON everywhere but at `status`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The topics of one site."""

    root: str
    """Prefix and site, `geems/segment13`."""

    @property
    def status(self) -> str:
        """Whether the service is connected."""
        return f"{self.root}/status"

    @property
    def cycle(self) -> str:
        """The last cycle."""
        return f"{self.root}/cycle"

    def of(self, device: str, what: str) -> str:
        """`measurement`, `forecast` or `setpoint` of a DER, or `measurement` of the load."""
        return f"{self.root}/{device}/{what}"

    def readings(
        self, now: datetime, answers: Mapping[str, DerReading | LoadReading | DeviceError]
    ) -> Iterator[Message]:
        """One measurement per device; a silent one says why, and gives no numbers.

        Args:
            now: when they were asked.
            answers: by device; the meter's under `load`.
        """
        for device, answer in answers.items():
            topic = self.of(device, "measurement")
            match answer:
                case DerReading():
                    yield _message(topic, answer.time, _der(answer))
                case LoadReading():
                    yield _message(topic, answer.time, _load(answer))
                case DeviceError():
                    yield _message(topic, now, {"reachable": False, "note": str(answer)})

    def record(self, record: CycleRecord) -> Iterator[Message]:
        """The cycle, and per DER its forecast and its setpoint."""
        dispatch = record.secured.dispatch
        yield _message(
            self.cycle,
            record.start,
            {
                "status": record.status,
                "cost_usd_per_h": record.ledger.energy_usd_per_h(dispatch),
                "demand_usd": record.ledger.demand_usd,
                "compliance_usd_per_h": record.ledger.compliance_usd_per_h,
                "compliance_demand_usd": record.ledger.compliance_demand_usd,
                "why": record.ledger.sentence,
                "alarms": list(record.alarms),
            },
        )
        for der, sky in record.forecast.pv.items():
            levels = (f"{100 * level:g}" for level in record.forecast.levels)
            body = {
                "expected_kw": sky.expected_kw,
                "upper_kw": sky.upper_kw,
                "method": sky.method,
                "quantiles_kw": dict(zip(levels, sky.quantiles_kw, strict=False)),  # none: empty
            }
            yield _message(self.of(der, "forecast"), record.start, body)
        for der, at in dispatch.setpoints.items():
            body = _setpoint(at, record)
            yield _message(self.of(der, "setpoint"), record.start, body)


def _der(reading: DerReading) -> dict[str, Any]:
    return {
        "reachable": True,
        "p_kw": reading.p_kw,
        "q_kvar": reading.q_kvar,
        "v_pu": reading.v_pu,
        "hz": reading.hz,
        "soc_pct": reading.soc_pct,
        "cap_kw": reading.cap_kw,
        "available_kw": reading.available_kw,
        "quality": reading.quality.value,
        "note": reading.note,
    }


def _load(reading: LoadReading) -> dict[str, Any]:
    return {
        "reachable": True,
        "p_kw": reading.p_kw,
        "q_kvar": reading.q_kvar,
        "quality": reading.quality.value,
        "note": reading.note,
    }


def _setpoint(at: Setpoint, record: CycleRecord) -> dict[str, Any]:
    outcome = record.outcomes[at.der]
    return {
        "p_kw": at.p_kw,
        "q_kvar": at.q_kvar,
        "cap_kw": at.cap_kw,
        "outcome": type(outcome).__name__.lower(),
        "reason": "" if isinstance(outcome, Sent | Advised) else outcome.reason,
    }


def _message(topic: str, time: datetime, body: Mapping[str, Any]) -> Message:
    numbers = {k: _plain(v) for k, v in body.items()}
    return Message(
        topic=topic,
        payload=json.dumps({"time": time.isoformat(), **numbers}, allow_nan=False),
    )


def _plain(value: Any) -> Any:
    """Without NaN and infinity, which JSON has no word for: not known is null."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
