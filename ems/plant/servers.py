"""The Modbus servers of a plant's devices, and their plugs."""

from collections.abc import Mapping

from ems.domain import DeviceAddress
from ems.errors import BadInput, Fault
from ems.outstation import DeviceServer, RegisterMap
from ems.protocols.loop_thread import LoopThread

SLOW_S = 60.0
"""How long a slow device thinks; longer than any time budget [s]."""


class Servers:
    """One Modbus TCP server for each device, on loopback, in a thread of their own."""

    def __init__(self, registers: Mapping[str, RegisterMap]) -> None:
        self._servers = {name: DeviceServer(name, r) for name, r in registers.items()}
        self._loop: LoopThread | None = None

    def start(self, wanted: Mapping[str, int]) -> Mapping[str, DeviceAddress]:
        """Start them all.

        Args:
            wanted: ports by device name; devices not named get a free port.

        Raises:
            BadInput: a port for a device that is not there.
            PortInUse: a port is taken; then no server runs.
        """
        unknown = sorted(set(wanted) - set(self._servers))
        if unknown:
            there = ", ".join(self._servers)
            raise BadInput(
                Fault(place=f"port of {n}", problem=f"no such device; there are {there}")
                for n in unknown
            )
        self.stop()
        self._loop = LoopThread("geems-plant")
        try:
            for name, server in self._servers.items():
                server.port = wanted.get(name, 0)
                self._loop.run(server.start())
        except BaseException:
            self.stop()
            raise
        return {name: server.address for name, server in self._servers.items()}

    def stop(self) -> None:
        """Stop them all. May be called twice."""
        if self._loop is None:
            return
        for server in self._servers.values():
            self._loop.run(server.stop())
        self._loop.close()
        self._loop = None

    @property
    def running(self) -> bool:
        """Whether they are started."""
        return self._loop is not None

    def unplug(self, name: str) -> None:
        """Break a device's connections; nobody answers any more."""
        server = self.server(name)
        self._running.run(server.stop())

    def replug(self, name: str) -> None:
        """Answer again, on the same port.

        Raises:
            PortInUse: somebody took the port meanwhile.
        """
        server = self.server(name)
        self._running.run(server.stop())
        self._running.run(server.start())

    def slow_down(self, name: str, *, slow: bool) -> None:
        """Let a device think for longer than anyone waits, or not."""
        self.server(name).delay_s = SLOW_S if slow else 0.0

    def server(self, name: str) -> DeviceServer:
        """The server of a device.

        Raises:
            KeyError: there is no such device.
        """
        if name not in self._servers:
            raise KeyError(f"no device '{name}'; there are {', '.join(self._servers)}")
        return self._servers[name]

    @property
    def _running(self) -> LoopThread:
        if self._loop is None:
            raise RuntimeError("the plant's servers are not started")
        return self._loop
