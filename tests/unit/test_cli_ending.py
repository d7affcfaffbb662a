"""Long-running commands end by a signal, whatever it interrupts."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.cli.ending import Interrupt, Interrupted, hangup_interrupts, until_told_to_stop

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
IN_A_STRING = """
from ems.cli.ending import Interrupt
with Interrupt().handling():
    try:
        exec("import signal; signal.raise_signal(signal.SIGTERM)")
    except KeyboardInterrupt:
        pass
"""


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


@pytest.mark.parametrize("number", ENDING)
def test_an_interrupt_interrupts_and_does_so_again_wherever_it_was_lost(
    number: signal.Signals,
) -> None:
    interrupt = Interrupt()
    with interrupt.handling():
        interrupt.again()
        with pytest.raises(Interrupted):
            signal.raise_signal(number)
        with pytest.raises(Interrupted):
            interrupt.again()


def test_what_an_interrupt_is_put_off_for_comes_to_its_end() -> None:
    interrupt, ended = Interrupt(), False

    def imported() -> None:
        nonlocal ended
        signal.raise_signal(signal.SIGINT)
        ended = True

    with interrupt.handling(), pytest.raises(Interrupted), interrupt.put_off():
        imported()
    assert ended


def test_a_second_interrupt_is_not_put_off() -> None:
    interrupt = Interrupt()
    with interrupt.handling(), interrupt.put_off():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        interrupt.came = False


def test_after_an_interrupt_in_code_out_of_a_string_the_process_ends_as_it_says(
    tmp_path: Path,
) -> None:
    """Dataclasses are such code; `python -m` would end by SIGINT."""
    (tmp_path / "interrupted.py").write_text(IN_A_STRING)
    done = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, check=False)
    assert done.returncode == 0
