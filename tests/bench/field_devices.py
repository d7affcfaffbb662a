"""A thousand devices in a process of their own, served by plain pymodbus.

Prints one line of ports: healthy devices, then slow ones, whose answers nobody waits for.
"""

import asyncio
import sys
from typing import Any

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from ems.protocols.sunspec import END_OF_CHAIN, MARKER, ModelBlock, model

RATED_KW = 100
SLOW_S = 60.0


def registers() -> list[int]:
    """A PV plant of 100 kW at 80 kW: models 1, 701, 702, 704 and 715."""
    blocks = {m: ModelBlock(model(m)) for m in (1, 701, 702, 704, 715)}
    for name, sf in (("W_SF", 1), ("Var_SF", 1), ("V_SF", -1), ("Hz_SF", -2)):
        blocks[701].set_raw(name, sf)
    for name, value in (("W", 80_000), ("Var", 0), ("LLV", 480), ("Hz", 60)):
        blocks[701].set_value(name, value)
    for name, sf in (("W_SF", 1), ("Var_SF", 1), ("V_SF", -1)):
        blocks[702].set_raw(name, sf)
    for name in ("WMaxRtg", "WMax"):
        blocks[702].set_value(name, RATED_KW * 1000)
    blocks[702].set_value("VNom", 480)
    for point in model(704).points.values():
        if point.name not in ("ID", "L"):
            blocks[704].set_raw(point.name, 0)
    blocks[704].set_raw("WMaxLimPct_SF", -2)
    for name in ("LocRemCtl", "DERHb", "ControllerHb"):
        blocks[715].set_raw(name, 0)
    return [*MARKER, *(r for b in blocks.values() for r in b.registers), END_OF_CHAIN, 0]


async def slow(*_: Any) -> None:
    await asyncio.sleep(SLOW_S)


async def serve(healthy: int, slowly: int) -> None:
    servers = []
    image = registers()
    for i in range(healthy + slowly):
        device = SimDevice(
            id=1,
            simdata=[SimData(address=40_000, values=image, datatype=DataType.REGISTERS)],
            action=slow if i >= healthy else None,
        )
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        servers.append(server)
    print(*(s.transport.sockets[0].getsockname()[1] for s in servers), flush=True)  # type: ignore[attr-defined]  # a listener's transport is an asyncio server
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent ends


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
