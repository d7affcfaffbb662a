"""Regulators and switched capacitors: where they stand, and letting them act.

Protection (fuses, relays, reclosers) and switch controls do not act: a decision for the next
quarter hour is judged on the feeder as it is switched.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from feeders.compiling import EngineError
from feeders.errors import FeederFault
from feeders.values import Regulation

CONTROL_ROUNDS = 100
"""Rounds of regulator and capacitor actions; a regulator of ±16 steps, one by one, needs 32."""
RESTING_PU = (1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
"""Tolerances to try until the engine rests: it lets controls act only then, and nodes that
nothing ties to ground move by rounding alone."""
STATIC, OFF = 0, -1
"""The engine's control modes."""
OTHERS = ("fuse", "relay", "recloser", "swtcontrol")
"""Controls that are kept from acting."""
ACTING_ITERATIONS = 50
"""Iterations of the load flow in each round."""
TURNS_DIGITS = 12
"""Digits of turns that count: the same step is the same number, whichever way it was reached."""
HUNTING = (
    f"regulators or capacitor controls do not come to rest in {CONTROL_ROUNDS} rounds; "
    "widen the band of those that work against each other"
)


class Controls:
    """The devices of one feeder that hold the voltage by themselves."""

    def __init__(self, context: Any) -> None:
        self._dss = context
        elements = [str(n).lower() for n in context.Circuit.AllElementNames()]
        for kind in OTHERS:
            if any(n.startswith(f"{kind}.") for n in elements):
                context.Text.Command(f"BatchEdit {kind}..* enabled=no")
        names = [n for n in elements if n.startswith(("regcontrol.", "capcontrol."))]
        moved = dict.fromkeys(device for n in names for device in self._device(n))
        self._transformers = [n for n in moved if n.startswith("transformer.")]
        self._capacitors = [n for n in moved if n.startswith("capacitor.")]
        self.file = self.standing = self.read()
        """Where the feeder file leaves them; where they stand now."""
        self.moving = (*self._transformers, *self._capacitors)
        """Names of the devices that move, `transformer.reg1a`, `capacitor.c83`."""
        self.resting_pu = RESTING_PU[0]
        """Tolerance at which the engine rests."""

    def read(self) -> Regulation:
        """Where the devices stand."""
        return Regulation(
            taps={n: self._taps(n) for n in self._transformers},
            capacitors={n: self._steps(n) for n in self._capacitors},
        )

    def complete(self, asked: Regulation | None) -> Regulation:
        """`asked` for every device: what it does not name stands as the file leaves it.

        Raises:
            FeederFault: it names what does not move on this feeder, or has the wrong length.
        """
        if asked is None or asked is self.file:
            return self.file
        faults = list(self._misfits(asked))
        if faults:
            raise FeederFault("; ".join(faults))
        return Regulation(
            taps={n: tuple(asked.taps.get(n, t)) for n, t in self.file.taps.items()},
            capacitors={
                n: tuple(asked.capacitors.get(n, s)) for n, s in self.file.capacitors.items()
            },
        )

    def move(self, to: Regulation) -> bool:
        """Put the devices where `to` (complete) says; whether any had to move."""
        if to == self.standing:
            return False
        self._put(to)
        return True

    def _put(self, to: Regulation) -> None:
        for name, turns in to.taps.items():
            self._set_taps(name, turns)
        for name, steps in to.capacitors.items():
            self._set_steps(name, steps)
        self.standing = to

    def find_rest(self) -> None:
        """Find the tolerance at which the engine rests, with the loads of the file; once."""
        for self.resting_pu in RESTING_PU:
            self._dss.YMatrix.SolutionInitialized(False)
            try:
                with self._tolerance(self.resting_pu):
                    self._dss.Solution.Solve()
            except EngineError:
                continue
            if self._dss.Solution.Converged():
                break

    @contextmanager
    def _tolerance(self, tolerance_pu: float) -> Iterator[None]:
        before = self._dss.Solution.Convergence()
        self._dss.Solution.Convergence(tolerance_pu)
        try:
            yield
        finally:
            self._dss.Solution.Convergence(before)

    def settle(self) -> tuple[Regulation, str]:
        """Let the controls act from where they stand, at the powers that are set.

        Returns:
            Where they rest, and what is wrong; empty when nothing is.
        """
        context, trouble = self._dss, ""
        start = self.standing
        for tolerance in RESTING_PU[RESTING_PU.index(self.resting_pu) :]:
            context.CtrlQueue.ClearQueue()
            context.Text.Command("Reset Controls")
            # A reset puts capacitors where their controls begin; back to where they stood.
            self._put(start)
            context.YMatrix.SolutionInitialized(False)
            trouble = self._act(tolerance)
            self._put(self.read())
            if trouble != "":
                break
            if context.Solution.Converged():
                return self.standing, ""
        return self.standing, trouble or "the load flow does not converge while controls act"

    def _act(self, tolerance: float) -> str:
        """One solve with controls; what is wrong with them."""
        solution = self._dss.Solution
        iterations = solution.MaxIterations()
        solution.MaxControlIterations(CONTROL_ROUNDS)
        solution.MaxIterations(ACTING_ITERATIONS)
        solution.ControlMode(STATIC)
        try:
            with self._tolerance(tolerance):
                solution.Solve()
        except EngineError:
            return HUNTING if solution.Converged() else ""
        finally:
            solution.ControlMode(OFF)
            solution.MaxIterations(iterations)
        return "" if solution.ControlActionsDone() else HUNTING

    # --- the engine, below this line -------------------------------------------------

    def _device(self, control: str) -> Iterator[str]:
        """What an enabled control moves."""
        self._dss.Circuit.SetActiveElement(control)
        if not self._dss.CktElement.Enabled():
            return
        kind, _, name = control.partition(".")
        if kind == "capcontrol":
            self._dss.CapControls.Name(name)
            yield f"capacitor.{str(self._dss.CapControls.Capacitor()).lower()}"
            return
        self._dss.RegControls.Name(name)
        device = str(self._dss.RegControls.Transformer()).lower()
        if device not in [str(n).lower() for n in self._dss.Transformers.AllNames()]:
            raise FeederFault(
                f"{control} regulates {device}, which is no two-or-more-winding transformer; "
                "write the regulator as a Transformer"
            )
        yield f"transformer.{device}"

    def _misfits(self, asked: Regulation) -> Iterator[str]:
        pairs = [(asked.taps, self.file.taps), (asked.capacitors, self.file.capacitors)]
        for given, own in pairs:
            for name, values in given.items():
                if name not in own:
                    yield f"regulation names {name}, which no control of this feeder moves"
                elif len(values) != len(own[name]):
                    yield f"regulation gives {name} {len(values)} values; it has {len(own[name])}"

    def _taps(self, name: str) -> tuple[float, ...]:
        transformers = self._dss.Transformers
        transformers.Name(name.partition(".")[2])
        found = []
        for winding in range(1, int(transformers.NumWindings()) + 1):
            transformers.Wdg(winding)
            # Steps add up to 0.9750000000000001 one way and 0.975 the other.
            found.append(round(float(transformers.Tap()), TURNS_DIGITS))
        return tuple(found)

    def _set_taps(self, name: str, turns: tuple[float, ...]) -> None:
        transformers = self._dss.Transformers
        transformers.Name(name.partition(".")[2])
        for winding, tap in enumerate(turns, start=1):
            transformers.Wdg(winding)
            transformers.Tap(tap)

    def _steps(self, name: str) -> tuple[int, ...]:
        self._dss.Capacitors.Name(name.partition(".")[2])
        states = [int(s) for s in self._dss.Capacitors.States()]
        closed = not self._dss.CktElement.IsOpen(1, 0)
        return tuple(s if closed else 0 for s in states)

    def _set_steps(self, name: str, steps: tuple[int, ...]) -> None:
        self._dss.Capacitors.Name(name.partition(".")[2])
        self._dss.Capacitors.States(list(steps))
        # A control opens the terminal too when it takes out the last step.
        if any(steps):
            self._dss.CktElement.Close(1, 0)
        else:
            self._dss.CktElement.Open(1, 0)
