"""Run by VOLTTRON's Python: one driver in the framework's own agent, told what to do by JSON lines.

Each line of standard input is `[method, …arguments]`; each answer a line `{"answer": …}` or
`{"error": …}`. The agent is the framework's; message bus and equipment tree, which need a whole
platform, are stand-ins.
"""

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from volttron.driver.base.driver import DriverAgent
from volttron.driver.base.interfaces import BaseInterface

TOPIC = "devices/campus/feeder/device"


class Device:
    """A node of the equipment tree; the agent keeps it by a weak reference."""

    identifier = TOPIC


class Equipment:
    """As much of the platform's equipment tree as the agent asks for."""

    def __init__(self, rows: list[Any]) -> None:
        self.nodes: dict[str, Any] = {}
        self.rows = rows

    def get_node(self, topic: str) -> Any:
        return self.nodes.setdefault(topic, SimpleNamespace(meta_data=None, last_value=None))

    def device_points(self, _device: str) -> list[Any]:
        return [SimpleNamespace(config=row) for row in self.rows]


def main(driver_config: str, registry: str) -> None:
    kind = BaseInterface.get_interface_subclass("geems")
    with Path(registry).open(newline="", encoding="utf-8") as file:
        rows = [kind.REGISTER_CONFIG_CLASS(**row) for row in csv.DictReader(file)]
    equipment = Equipment(rows)
    config = kind.INTERFACE_CONFIG_CLASS(driver_type="geems", **json.loads(driver_config))
    agent = DriverAgent(config, None, equipment, None, "UTC", "geems", None)
    device = Device()
    agent.add_equipment(device)
    print(json.dumps({"answer": sorted(agent.interface.get_register_names())}), flush=True)
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        try:
            if method == "meta_data":
                answer = equipment.get_node(arguments[0]).meta_data
            else:
                answer = getattr(agent, method)(*arguments)
            print(json.dumps({"answer": answer}), flush=True)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the test is told
            print(json.dumps({"error": f"{type(fault).__name__}: {fault}"}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
