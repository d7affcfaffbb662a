"""The loads of a compiled feeder, and the DERs placed on it, as branches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feeders.bulk import Elements, Ints
from feeders.laws import CVR, FIXED_Q, FIXED_X, KNOWN_MODELS, MOTOR, Branches
from feeders.values import Floats

DELTA = 1
CUT_OFF = 6
"""Place of the cut-off voltage in the engine's ZIPV list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederLoad:
    """One load of the feeder file."""

    name: str
    bus: str
    kw: float
    """Nominal consumption [kW]."""
    kvar: float
    """Nominal reactive consumption [kvar]."""


def enabled_loads(context: Any) -> list[int]:
    """Places of the enabled loads in the engine's list, counted from 0."""
    loads, found = context.Loads, []
    for i in range(loads.Count()):
        loads.Idx(i + 1)
        if context.CktElement.Enabled():
            found.append(i)
    return found


def read_loads(context: Any, places: Sequence[int]) -> tuple[FeederLoad, ...]:
    """Name, bus and nominal power of loads."""
    elements = Elements(context, "Load", places)
    names = [str(n) for n in context.Loads.AllNames()]
    buses = []
    for i in places:
        context.Loads.Idx(i + 1)
        buses.append(str(context.CktElement.BusNames()[0]).partition(".")[0].upper())
    return tuple(
        FeederLoad(name=names[i], bus=bus, kw=float(kw), kvar=float(kvar))
        for i, bus, kw, kvar in zip(
            places, buses, elements.floats("kw"), elements.floats("kvar"), strict=True
        )
    )


def read_branches(context: Any, places: Sequence[int], ders: int) -> Branches:
    """The phases of loads, and of DERs, which are loads of negative power.

    Follows the order of `places`, of which the last are the `ders`, then the phases.
    """
    elements = Elements(context, "Load", places)
    phases, delta = elements.integers("phases"), elements.integers("conn") == DELTA
    model = elements.integers("model").copy()
    model[~np.isin(model, KNOWN_MODELS)] = 2  # what the engine does with one it does not know
    kv = elements.floats("kv") * 1e3
    rated = np.where(~delta & (phases > 1) & (phases <= 3), kv / np.sqrt(3.0), kv)
    ends: list[tuple[int, int]] = []
    for at, i in enumerate(places):
        context.Loads.Idx(i + 1)
        refs = [int(r) for r in context.CktElement.NodeRef()]
        n = int(phases[at])
        back = [refs[(k + 1) % len(refs)] if delta[at] else refs[-1] for k in range(n)]
        ends += list(zip(refs[:n], back, strict=True))
    owner = np.repeat(np.arange(len(places)), phases)
    start, end = np.array(ends, dtype=np.intp).reshape(-1, 2).T
    mix = _mixtures(context, places, model)[:, :, owner]
    watts, vars_ = elements.floats("cvrwatts"), elements.floats("cvrvars")
    exponent = np.zeros((2, len(places)))
    exponent[:, model == CVR] = np.stack((watts, vars_))[:, model == CVR]
    exponent[1, np.isin(model, (MOTOR, FIXED_X))] = 2.0
    exponent[:, model == FIXED_Q] = 0.0
    return Branches(
        owner=owner,
        start=start,
        end=end,
        share=(1.0 / phases)[owner],
        rated_v=rated[owner],
        low=elements.floats("vlowpu")[owner],
        least=elements.floats("vminpu")[owner],
        most=elements.floats("vmaxpu")[owner],
        model=model[owner],
        z=mix[0],
        i=mix[1],
        p=mix[2],
        exponent=exponent[:, owner],
        cut_off=_cut_offs(context, places, model)[owner],
        pairs=_pairs(owner, len(places) - ders),
    )


def _mixtures(context: Any, places: Sequence[int], model: Ints) -> Floats:
    """Parts of constant impedance, current, power: of P and of Q; shape (3, 2, load)."""
    mix = np.zeros((3, 2, len(places)))
    for part, which in enumerate((2, 5, 1)):
        mix[part, :, model == which] = 1.0
    for at in np.flatnonzero(model == 8):
        context.Loads.Idx(places[int(at)] + 1)
        parts = np.asarray(context.Loads.ZipV(), dtype=float)
        mix[:, 0, at], mix[:, 1, at] = parts[:3], parts[3:6]
    return mix


def _cut_offs(context: Any, places: Sequence[int], model: Ints) -> Floats:
    cut = np.zeros(len(places))
    for at in np.flatnonzero(model == 8):
        context.Loads.Idx(places[int(at)] + 1)
        cut[at] = float(context.Loads.ZipV()[CUT_OFF])
    return cut


def _pairs(owner: NDArray[np.intp], loads: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each branch with itself; then each with the others of its DER."""
    every = np.arange(owner.size)
    of_ders = every[owner >= loads]
    drawing, seen = np.meshgrid(of_ders, of_ders, indexing="ij", sparse=True)
    first, second = np.nonzero((owner[drawing] == owner[seen]) & (drawing != seen))
    return np.concatenate((every, of_ders[first])), np.concatenate((every, of_ders[second]))
