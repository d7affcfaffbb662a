"""Writes a registry: `python -m volttron.driver.interfaces.geems HOST > registry.csv`."""

import argparse
import csv
import sys

from volttron.driver.base.interfaces import DriverInterfaceError

from .service import Service
from .sunspec import SunSpecDevice

COLUMNS = (
    "Reference Point Name", "Volttron Point Name", "Units", "Writable", "Default Value", "Notes",
)  # fmt: skip


def main() -> int:
    """Ask a device, and the service, for all their points, and print them as a registry."""
    parser = argparse.ArgumentParser(prog="python -m volttron.driver.interfaces.geems")
    parser.add_argument("host", help="device or RTU that speaks SunSpec Modbus TCP")
    parser.add_argument("--port", type=int, default=502)
    parser.add_argument("--unit", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=3.0, metavar="S")
    parser.add_argument("--service", metavar="URL", help="GEEMS service, http://127.0.0.1:8080")
    asked = parser.parse_args()
    device = SunSpecDevice(asked.host, asked.port, asked.unit, asked.timeout)
    rows = csv.writer(sys.stdout)
    try:
        found = list(device.points())
        of_service = list(Service(asked.service, asked.timeout).points()) if asked.service else []
    except (DriverInterfaceError, ValueError) as fault:
        print(fault, file=sys.stderr)
        return 1
    finally:
        device.close()
    rows.writerow(COLUMNS)
    for reference, units, writable, label in found:
        name = reference.replace("[", "").replace("]", "").replace(".", "_")
        rows.writerow((reference, name, units, str(writable).upper(), "", label))
    for reference, _value in of_service:
        name = reference.replace("#/", "_").replace("/", "_").replace("latest_", "")
        rows.writerow((reference, name, "", "FALSE", "", "GEEMS service"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
