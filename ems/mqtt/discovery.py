"""Home Assistant's device discovery: one retained message per DER, and one for the site.

Source: Home Assistant documentation, MQTT integration, section "Device discovery payload".
"""

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from ems.domain import Bes, Der, Dg, Pv, Site
from ems.mqtt.topics import LOAD, OFFLINE, ONLINE, Message, Topics

_POWER = {"device_class": "power", "unit_of_measurement": "kW", "state_class": "measurement"}
_REACTIVE = {
    "device_class": "reactive_power",
    "unit_of_measurement": "kvar",
    "state_class": "measurement",
}
_SOC = {"device_class": "battery", "unit_of_measurement": "%", "state_class": "measurement"}
_VOLTAGE = {"unit_of_measurement": "pu", "state_class": "measurement"}
_KIND = {Pv: "PV plant", Bes: "Battery energy storage", Dg: "Generator"}
_Sensors = Mapping[str, tuple[str, str, str, Mapping[str, Any]]]
"""Key: topic's last level, value in the JSON, name shown, properties."""


def announcements(prefix: str, topics: Topics, site: Site) -> Iterator[Message]:
    """What makes every DER, the load and the cycle show up by themselves.

    Args:
        prefix: where Home Assistant looks, by default `homeassistant`.
        topics: of the site.
        site: what is installed.
    """
    for der in site.ders:
        yield _device(prefix, topics, site, der.name, _KIND[type(der)], _der_sensors(der))
    load = {
        "p_kw": ("measurement", "p_kw", "Active power", _POWER),
        "q_kvar": ("measurement", "q_kvar", "Reactive power", _REACTIVE),
    }
    yield _device(prefix, topics, site, LOAD, "Aggregate load", load)
    yield _device(prefix, topics, site, "", "Energy management system", _cycle_sensors())


def _der_sensors(der: Der) -> dict[str, tuple[str, str, str, Mapping[str, Any]]]:
    sensors: dict[str, tuple[str, str, str, Mapping[str, Any]]] = {
        "p_kw": ("measurement", "p_kw", "Active power", _POWER),
        "q_kvar": ("measurement", "q_kvar", "Reactive power", _REACTIVE),
        "v_pu": ("measurement", "v_pu", "Voltage", _VOLTAGE),
        "setpoint_q_kvar": ("setpoint", "q_kvar", "Reactive setpoint", _REACTIVE),
        "outcome": ("setpoint", "outcome", "Last write", {}),
    }
    match der:
        case Pv():
            sensors["expected_kw"] = ("forecast", "expected_kw", "Expected power", _POWER)
            sensors["setpoint_cap_kw"] = ("setpoint", "cap_kw", "Cap", _POWER)
        case Bes():
            sensors["soc_pct"] = ("measurement", "soc_pct", "State of charge", _SOC)
            sensors["setpoint_p_kw"] = ("setpoint", "p_kw", "Active setpoint", _POWER)
        case Dg():
            sensors["setpoint_p_kw"] = ("setpoint", "p_kw", "Active setpoint", _POWER)
    return sensors


def _cycle_sensors() -> _Sensors:
    return {
        "status": ("cycle", "status", "Last cycle", {}),
        "cost": ("cycle", "cost_usd_per_h", "Cost", {"unit_of_measurement": "USD/h"}),
        # A state holds 255 characters at most; the whole sentence is in the topic.
        "why": ("cycle", "why[:255]", "Why", {}),
    }


def _device(
    prefix: str, topics: Topics, site: Site, name: str, kind: str, sensors: _Sensors
) -> Message:
    """One device with its sensors; the site itself has no name of its own."""
    identifier = "_".join(("geems", site.name, *([name] if name else [])))
    components = {
        key: {
            "platform": "sensor",
            "unique_id": f"{identifier}_{key}",
            "name": shown,
            "state_topic": topics.of(name, last) if name else topics.cycle,
            "value_template": f"{{{{ value_json.{value} }}}}",
            **properties,
        }
        for key, (last, value, shown, properties) in sensors.items()
    }
    body = {
        "device": {
            "identifiers": [identifier],
            "name": f"{site.name} {name}".strip(),
            "manufacturer": "GEEMS",
            "model": kind,
        },
        "origin": {"name": "GEEMS", "sw_version": version("geems")},
        "availability_topic": topics.status,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "components": components,
    }
    return Message(topic=f"{prefix}/device/{identifier}/config", payload=json.dumps(body))
