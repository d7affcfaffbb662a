"""Long-running commands end by a signal, whatever it interrupts."""

import signal
import threading
from collections.abc import Iterator

import pytest

from ems.cli.ending import hangup_interrupts, until_told_to_stop

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers_come_back() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in ENDING]
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_sets_the_event_and_more_of_them_do_no_harm(number: signal.Signals) -> None:
    stop = until_told_to_stop()
    assert not stop.is_set()
    for _ in range(3):
        signal.raise_signal(number)
    assert stop.wait(60)


def test_a_signal_waits_for_no_lock_of_the_thread_that_it_interrupts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside = threading.Lock()

    class Slow(threading.Event):
        """Somebody is at its lock, as a handler is that the next signal interrupts."""

        def set(self) -> None:
            with inside:
                super().set()

    with monkeypatch.context() as patched:
        patched.setattr("ems.cli.ending.threading.Event", Slow)
        stop = until_told_to_stop()
    with inside:
        signal.raise_signal(signal.SIGTERM)
        assert not stop.is_set()
    assert stop.wait(60)


def test_a_closed_terminal_does_not_end_what_was_started_with_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    until_told_to_stop()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    with hangup_interrupts():
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_closed_terminal_interrupts_once_and_its_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGHUP)
    interrupts = []
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    with hangup_interrupts():
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)
    assert interrupts == [signal.SIGINT]
    assert signal.getsignal(signal.SIGHUP) == before
