"""A serial line without hardware: two pseudo-terminals, and a thread that is the wire between."""

import os
import select
import threading
import tty
from types import TracebackType
from typing import Self


class SerialPair:
    """`ends` are two device files; what is written to one is read from the other."""

    def __init__(self) -> None:
        pairs = [os.openpty(), os.openpty()]
        self._masters = [master for master, _ in pairs]
        self._slaves = [slave for _, slave in pairs]
        for slave in self._slaves:
            tty.setraw(slave)
        self.ends = [os.ttyname(slave) for slave in self._slaves]
        self._stop, self._stopper = os.pipe()
        self._thread = threading.Thread(target=self._carry)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.write(self._stopper, b"x")
        self._thread.join()
        for end in (*self._masters, *self._slaves, self._stop, self._stopper):
            os.close(end)

    def _carry(self) -> None:
        first, second = self._masters
        other = {first: second, second: first}
        while True:
            ready, _, _ = select.select([*self._masters, self._stop], [], [])
            if self._stop in ready:
                return
            for end in ready:
                os.write(other[end], os.read(end, 1024))
