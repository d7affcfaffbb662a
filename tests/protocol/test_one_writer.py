"""Two processes never write to one device, whatever their site files are called."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

from ems.domain import Command, DeviceAddress, Readback, Site
from ems.errors import RefusedWrite
from ems.gateways.sunspec import SunSpecField

HOLDER = (
    "import sys\n"
    "from ems.domain import DeviceAddress\n"
    "from ems.gateways.writer import claim\n"
    "claim(DeviceAddress(host='localhost', port=int(sys.argv[1])))\n"
    "print('claimed', flush=True)\n"
    "sys.stdin.read()\n"
)


def setpoint(der: str) -> Command:
    return Command(der=der, p_kw=10.0, q_kvar=0.0, cap_kw=None, reversion_kw=0.0, reversion_s=300)


def test_a_device_that_another_process_commands_is_not_written_until_that_one_ends(
    site: Site, addresses: Mapping[str, DeviceAddress]
) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(addresses["bes"].port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    field = SunSpecField(site, addresses)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        answers = field.write([setpoint("bes"), setpoint("dg")])
        refused = answers["bes"]
        assert isinstance(refused, RefusedWrite)
        assert f"process {other.pid} of this machine commands this device" in str(refused)
        assert isinstance(answers["dg"], Readback)
        other.kill()  # as the kernel sees it when a service dies
        other.wait(10)
        assert isinstance(field.write([setpoint("bes")])["bes"], Readback)
    finally:
        other.kill()
        other.communicate()
        field.close()


def test_a_process_that_has_closed_its_links_stands_in_nobodys_way(
    site: Site, addresses: Mapping[str, DeviceAddress]
) -> None:
    for _ in range(2):
        field = SunSpecField(site, addresses)
        assert isinstance(field.write([setpoint("bes")])["bes"], Readback)
        field.close()
    ask = HOLDER.replace("claim(", "print(claim(").replace("[1])))", "[1]))))")
    told = subprocess.run(
        [sys.executable, "-c", ask, str(addresses["bes"].port)],
        input="", capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert told.stdout == "\nclaimed\n", "nobody else has it"


def test_units_behind_one_port_are_devices_of_their_own(
    addresses: Mapping[str, DeviceAddress],
) -> None:
    from ems.gateways import writer

    first, second = addresses["bes"], replace(addresses["bes"], unit=2)
    assert writer._byte_of(first) != writer._byte_of(second)
