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


class Interrupted(KeyboardInterrupt):
    """An interrupt that a handler of ours has raised.

    Not `KeyboardInterrupt` itself: once that has left code that was compiled from a string, as
    dataclasses are, `python -m` ends by SIGINT, whoever caught it (CPython's `run_eval_code_obj`).
    """


class Interrupt:
    """Handles SIGINT, SIGTERM and SIGHUP: they interrupt what runs, and that can be put off.

    No event tells that one came: a second one would wait for the lock that the first holds.
    """

    def __init__(self) -> None:
        self.came = False
        self._put_off = False

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Meanwhile the signals come here."""
        ending = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._interrupt) for number in ending}
        try:
            with hangup_interrupts():
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """The first one waits for the end of what is done here, the second one does not.

        For imports: a library that is broken into halfway may take it for a fault of its own, or
        be left in a state that ends the process later.
        """
        self._put_off = True
        try:
            yield
        finally:
            self._put_off = False
        self.again()

    def again(self) -> None:
        """Say it again: an interrupt that falls into a callback of a library is lost there.

        Raises:
            Interrupted: one came.
        """
        if self.came:
            raise Interrupted

    def _interrupt(self, _number: int, _frame: object) -> None:
        waits = self._put_off and not self.came
        self.came = True
        if not waits:
            raise Interrupted


def _hangup() -> tuple[signal.Signals, ...]:
    """SIGHUP, where the platform has it and nobody has it ignored, as nohup does."""
    number = getattr(signal, "SIGHUP", None)
    if number is None or signal.getsignal(number) is signal.SIG_IGN:
        return ()
    return (number,)
