"""Ended by a signal."""

import signal
import threading
from queue import SimpleQueue


def until_told_to_stop() -> threading.Event:
    """An event that SIGINT and SIGTERM set, however many come and whenever they do.

    A handler interrupts its thread anywhere, in itself too, where an event's lock would be waited
    for by the thread that holds it. Of what wakes threads only this queue may be used there
    (Python's library reference, `queue.SimpleQueue.put`); another thread then sets the event.
    """
    stop, told = threading.Event(), SimpleQueue[int]()

    def wait() -> None:
        told.get()
        stop.set()

    threading.Thread(target=wait, name="geems-told-to-stop", daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: told.put(number))
    return stop
