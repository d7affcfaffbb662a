"""Ended by a signal."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue


def until_told_to_stop() -> threading.Event:
    """An event that SIGINT, SIGTERM and SIGHUP set, however many come and whenever they do.

    A handler interrupts its thread anywhere, in itself too, where an event's lock would be waited
    for by the thread that holds it. Of what wakes threads only this queue may be used there
    (Python's library reference, `queue.SimpleQueue.put`); another thread then sets the event.
    """
    stop, told = threading.Event(), SimpleQueue[int]()

    def wait() -> None:
        told.get()
        stop.set()

    threading.Thread(target=wait, name="geems-told-to-stop", daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM, *_hangup()):
        signal.signal(number, lambda number, _: told.put(number))
    return stop


@contextmanager
def hangup_interrupts() -> Iterator[None]:
    """A terminal that is closed (SIGHUP) interrupts: whoever handles SIGINT handles it too.

    It tells so twice, by the shell and by itself: only the first counts, the second would break
    into what the first has brought about.
    """

    def interrupt(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        signal.raise_signal(signal.SIGINT)

    before = {number: signal.signal(number, interrupt) for number in _hangup()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hangup() -> tuple[signal.Signals, ...]:
    """SIGHUP, where the platform has it and nobody has it ignored, as nohup does."""
    number = getattr(signal, "SIGHUP", None)
    if number is None or signal.getsignal(number) is signal.SIG_IGN:
        return ()
    return (number,)
