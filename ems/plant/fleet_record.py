"""What a fleet did, second by second: a CSV file, and a picture of some of its DERs."""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from ems.errors import BadInput
from ems.plant.events import EventList
from ems.plant.fleet import AnyFleet, Seen

COLUMNS = "time_utc,t_s,der,p_kw,q_kvar,voltage_pu,frequency_hz,state"
PANELS = ("voltage [pu]", "frequency [Hz]", "P [kW]", "Q [kvar]")
DRAWN = 8
"""More lines than this in one picture cannot be told apart."""


class FleetCsv:
    """A CSV file with a row for each DER and second."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        file.write(COLUMNS + "\n")

    def add(self, fleet: AnyFleet, seen: Sequence[Seen]) -> None:
        """One second.

        Raises:
            BadInput: it cannot be written any more.
        """
        now = f"{fleet.started + timedelta(seconds=fleet.t_s):%Y-%m-%dT%H:%M:%SZ},{fleet.t_s},"
        try:
            self._file.writelines(
                f"{now}{s.der},{s.p_kw:.4f},{s.q_kvar:.4f},{s.v_pu:.6g},{s.hz:.6g},{s.state}\n"
                for s in seen
            )
        except OSError as error:
            raise _unwritten("--record", self._file.name, error) from error


@contextmanager
def fleet_csv(path: Path | None) -> Iterator[FleetCsv | None]:
    """A file to record into, closed at the end; None for no path.

    Raises:
        BadInput: it cannot be written.
    """
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise _unwritten("--record", str(path), error) from error
    with file:
        yield FleetCsv(file)


def _unwritten(option: str, path: str, error: OSError) -> BadInput:
    return BadInput.at(option, f"{path} cannot be written: {error.strerror}")


class FleetPlot:
    """Keeps what a picture needs, of a few DERs: those with events before the others."""

    def __init__(self, names: Sequence[str], events: EventList) -> None:
        with_events = [name for name in names if name in events.felt]
        others = [name for name in names if name not in events.felt]
        self._kept = {n: tuple(array("f") for _ in PANELS) for n in (*with_events, *others)[:DRAWN]}
        self._left_out = max(0, len(names) - DRAWN)
        self._t_s = array("f")

    @property
    def shown(self) -> tuple[str, ...]:
        """The DERs that are drawn."""
        return tuple(self._kept)

    def add(self, fleet: AnyFleet, seen: Sequence[Seen]) -> None:
        """One second."""
        self._t_s.append(fleet.t_s)
        for s in seen:
            if s.der in self._kept:
                values = (s.v_pu, s.hz, s.p_kw, s.q_kvar)
                for kept, value in zip(self._kept[s.der], values, strict=True):
                    kept.append(value)

    def draw(self, path: Path) -> None:
        """Write the picture (PNG): voltage, frequency, P and Q over time.

        Raises:
            BadInput: it cannot be written.
        """
        # 0.5 s to import and wanted by this alone; no window is ever opened.
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415

        figure = Figure(figsize=(9.0, 8.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(PANELS), 1, sharex=True)
        for k, (panel, label) in enumerate(zip(axes, PANELS, strict=True)):
            for name, kept in self._kept.items():
                panel.plot(self._t_s, kept[k], label=name, linewidth=1.2)
            panel.set_ylabel(label)
            panel.grid(alpha=0.3)
        axes[-1].set_xlabel("time [s]")
        axes[0].legend(frameon=False, ncols=4, fontsize="small")
        if self._left_out:
            figure.suptitle(f"{len(self._kept)} of {len(self._kept) + self._left_out} DERs")
        try:
            figure.savefig(path, dpi=120, format="png")
        except OSError as error:
            raise _unwritten("--plot", str(path), error) from error
