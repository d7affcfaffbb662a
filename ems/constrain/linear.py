"""Eq. (10): the feeder linearised at the cases, and its rows."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ems.constrain.cases import Case, injections, moves, powers
from ems.domain import (
    Dispatch,
    Forecast,
    Limits,
    Linearisation,
    RowBlock,
    RowKind,
    Setpoint,
    Site,
    Unmoved,
)
from ems.ports import Network

ROWS_PER_ROUND = 6
"""Rows added at once, at least: a dense row costs the solver more than a product costs us, and
neighbours of the worst node of a phase are kept with it."""
SHARE_PER_ROUND = 0.1
"""Share of all that would break that is added at once, where that is more [1]."""

NOISE = 1e-7
"""Predicted excess that is round-off of the solver and no reason for a row."""

CLOSE_ENOUGH = 0.2
"""Share of the margin within which a loading needs no further tangent [1]."""

Floats = NDArray[np.float64]
RowKey = tuple[str, RowKind, int]
"""Case, limit, and index of the node or element."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linearised:
    """One case, linear around the point it was solved at."""

    case: Case
    feeder: Linearisation
    p0: Floats
    """Active power of each DER at the point, shape (der,) [kW]."""
    q0: Floats
    """Reactive power at the point, shape (der,) [kvar]."""
    p_moves: NDArray[np.bool_]
    """Whether the DER's setpoint moves its active power in this case, shape (der,)."""
    q_moves: NDArray[np.bool_]
    """Likewise its reactive power."""


def linearise(
    cases: Sequence[Case],
    setpoints: Mapping[str, Setpoint],
    forecast: Forecast,
    network: Network,
    head_v_pu: float | None,
    pins: Mapping[str, Unmoved],
) -> tuple[Linearised, ...]:
    """Solve and differentiate the feeder at every case that carries rows."""
    # What is expected lies between the highest and the lowest case, where there are these.
    between = any(case.name == "high" for case in cases)
    return tuple(
        _linearise(case, setpoints, forecast, network, head_v_pu, pins)
        for case in cases
        if not (between and case.side == "expected")
    )


def _linearise(
    case: Case,
    setpoints: Mapping[str, Setpoint],
    forecast: Forecast,
    network: Network,
    head_v_pu: float | None,
    pins: Mapping[str, Unmoved],
) -> Linearised:
    at = injections(case, setpoints, forecast, head_v_pu, pins)
    feeder = network.linearise(at)
    moving = np.array([moves(case, setpoints[n], forecast, pins) for n in feeder.ders], dtype=bool)
    moving = moving.reshape(-1, 2)
    return Linearised(
        case=case,
        feeder=feeder,
        p0=np.array([at.p_kw[n] for n in feeder.ders]),
        q0=np.array([at.q_kvar[n] for n in feeder.ders]),
        p_moves=moving[:, 0],
        q_moves=moving[:, 1],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What a linear case says of a dispatch: ALL nodes and elements, by one product."""

    v_pu: Floats
    """Shape (node,) [pu]."""
    loading_pct: Floats
    """Shape (element,) [%]."""

    @classmethod
    def of(
        cls, lin: Linearised, decided: Dispatch, forecast: Forecast, pins: Mapping[str, Unmoved]
    ) -> "Predicted":
        """Move a case to a dispatch."""
        flow = lin.feeder.flow
        dv, dl = lin.feeder.change(*moved(lin, decided, forecast, pins))
        return cls(v_pu=flow.v_pu + dv, loading_pct=flow.loading_pct + dl)


def excess(
    lin: Linearised, predicted: Predicted, limits: Limits, margin_pu: float
) -> dict[RowKey, float]:
    """Predicted excess over every limit less its margin, as a fraction of the limit.

    Only positive entries return.
    """
    v, energised = predicted.v_pu, lin.feeder.flow.v_pu > 0.0
    most, least = limits.v_max_pu - margin_pu, limits.v_min_pu + margin_pu
    above, below = (v > most).nonzero()[0], ((v < least) & energised).nonzero()[0]
    over = [
        (RowKind.V_MAX, above, (v[above] - most) / limits.v_max_pu),
        (RowKind.V_MIN, below, (least - v[below]) / limits.v_min_pu),
    ]
    if limits.loading_max_pct is not None:
        loaded = predicted.loading_pct / limits.loading_max_pct - 1.0 + margin_pu
        beyond = (loaded > 0.0).nonzero()[0]
        over.append((RowKind.LOADING, beyond, loaded[beyond]))
    name = lin.case.name
    return {
        (name, kind, i): value
        for kind, which, values in over
        for i, value in zip(which.tolist(), values.tolist(), strict=True)
    }


def moved(
    lin: Linearised, decided: Dispatch, forecast: Forecast, pins: Mapping[str, Unmoved]
) -> tuple[Floats, Floats]:
    """How far a dispatch lies from the point of a case: P [kW] and Q [kvar], shape (der,)."""
    p_kw, q_kvar = powers(lin.case, decided.setpoints, forecast, pins)
    ders = lin.feeder.ders
    return (
        np.array([p_kw[n] for n in ders]) - lin.p0,
        np.array([q_kvar[n] for n in ders]) - lin.q0,
    )


def worst_keys(
    found: Mapping[RowKey, float], known: Iterable[RowKey], alike: Callable[[RowKey], Hashable]
) -> list[RowKey]:
    """The keys that break most and have no row yet; the worst of every kind before any second."""
    held = set(known)
    fresh = sorted((key for key in found if key not in held), key=lambda key: -found[key])
    most = max(ROWS_PER_ROUND, int(SHARE_PER_ROUND * len(fresh)))
    place: dict[RowKey, int] = {}
    count = Counter[Hashable]()
    for key in fresh:
        place[key] = count[alike(key)]
        count[alike(key)] += 1
    return sorted(fresh, key=place.__getitem__)[:most]


class Rows:
    """The rows of some linearised cases.

    A voltage gets one row. A loading is the modulus of a current, and V-shaped in reactive power:
    each time the linear feeder shows it beyond its limit it gets one more tangent, there.
    """

    def __init__(
        self,
        lins: Sequence[Linearised],
        forecast: Forecast,
        site: Site,
        margin_pu: float,
        pins: Mapping[str, Unmoved],
        *,
        reactive: bool = True,
    ) -> None:
        self.keys: list[RowKey] = []
        """Every key once, in the order of its first row."""
        self._lins = {lin.case.name: lin for lin in lins}
        self._ders = lins[0].feeder.ders
        self._forecast = forecast
        self._site = site
        self._margin_pu = margin_pu
        self._pins = pins
        self._reactive = reactive
        self._parts: list[RowBlock] = []
        self._predicted: tuple[Dispatch, list[Predicted]] | None = None

    def excess(self, decided: Dispatch, margin_pu: float | None = None) -> dict[RowKey, float]:
        """Predicted excess over every limit less its margin, as a fraction of the limit.

        Only positive entries return.
        """
        margin = self._margin_pu if margin_pu is None else margin_pu
        if self._predicted is None or self._predicted[0] is not decided:
            lins = self._lins.values()
            said = [Predicted.of(lin, decided, self._forecast, self._pins) for lin in lins]
            self._predicted = decided, said
        found: dict[RowKey, float] = {}
        for lin, predicted in zip(self._lins.values(), self._predicted[1], strict=True):
            found |= excess(lin, predicted, lin.case.limits(self._site), margin)
        return found

    def fresh(self, decided: Dispatch) -> list[RowKey]:
        """What would break most and has no row yet that could keep it."""
        known = {key for key in self.keys if key[1] is not RowKind.LOADING}
        # What a row had to give up, no further tangent of it will keep.
        given_up = {
            (b.row.kind, b.row.place): b.slack / b.row.limit for b in decided.binding if b.slack > 0
        }
        found = {
            key: over
            for key, over in self.excess(decided).items()
            if over > self._idle(key[1]) + given_up.get((key[1], self._place(key)), 0.0)
        }
        return worst_keys(found, known, self._alike)

    def _alike(self, key: RowKey) -> Hashable:
        """Same for limits that are likely to be kept together: of one case, one kind, one phase."""
        return (*key[:2], self._place(key).partition(".")[2])

    def _idle(self, kind: RowKind) -> float:
        """Predicted excess that is no reason for a row: a load flow judges anyway."""
        if kind is RowKind.LOADING:
            return max(NOISE, CLOSE_ENOUGH * self._margin_pu)
        return NOISE

    def _place(self, key: RowKey) -> str:
        """Node or element of a key."""
        flow = self._lins[key[0]].feeder.flow
        return flow.elements[key[2]] if key[1] is RowKind.LOADING else flow.nodes[key[2]]

    def add(self, keys: Sequence[RowKey], decided: Dispatch) -> None:
        """Rows for some limits; those of loadings touch at what is decided."""
        for name, lin in self._lins.items():
            nodes = [k for k in keys if k[0] == name and k[1] is not RowKind.LOADING]
            elements = [k for k in keys if k[0] == name and k[1] is RowKind.LOADING]
            if nodes:
                which = [i for _, _, i in nodes]
                values = lin.feeder.flow.v_pu[which]
                self._keep(lin, nodes, values, lin.p0, lin.q0, *lin.feeder.voltage_rows(which))
            if elements:
                dp, dq = moved(lin, decided, self._forecast, self._pins)
                cuts = lin.feeder.loading_cuts([i for _, _, i in elements], dp, dq)
                self._keep(lin, elements, cuts[0], lin.p0 + dp, lin.q0 + dq, *cuts[1:])
        held = set(self.keys)
        self.keys += [key for key in keys if key not in held]

    def block(self) -> RowBlock:
        """The rows so far."""
        parts = self._parts
        if len(parts) == 1:
            return parts[0]
        none = np.zeros((0, len(self._ders)))
        return RowBlock(
            ders=self._ders,
            c_p=np.concatenate([none, *(part.c_p for part in parts)]),
            c_q=np.concatenate([none, *(part.c_q for part in parts)]),
            bound=np.concatenate([none[:, 0], *(part.bound for part in parts)]),
            kind=sum((part.kind for part in parts), ()),
            place=sum((part.place for part in parts), ()),
            limit=np.concatenate([none[:, 0], *(part.limit for part in parts)]),
            case=sum((part.case for part in parts), ()),
        )

    def _keep(
        self,
        lin: Linearised,
        keys: Sequence[RowKey],
        values: Floats,
        p_kw: Floats,
        q_kvar: Floats,
        slopes_p: Floats,
        slopes_q: Floats,
    ) -> None:
        """Rows whose values and slopes are known at a point."""
        kinds, limits = tuple(key[1] for key in keys), lin.case.limits(self._site)
        sign, limit, margin = np.array([self._sides(kind, limits) for kind in kinds]).T
        c_p = np.where(lin.p_moves, sign[:, None] * slopes_p, 0.0)
        c_q = np.where(lin.q_moves & self._reactive, sign[:, None] * slopes_q, 0.0)
        self._parts.append(
            RowBlock(
                ders=self._ders, c_p=c_p, c_q=c_q, kind=kinds,
                bound=sign * (limit - values) - margin + c_p @ p_kw + c_q @ q_kvar,
                place=tuple(self._place(key) for key in keys), limit=limit,
                case=(lin.case.name,) * len(keys),
            )
        )  # fmt: skip

    def _sides(self, kind: RowKind, limits: Limits) -> tuple[float, float, float]:
        """Sign, limit and margin; a lower limit has its signs turned, so that every row reads ≤."""
        if kind is RowKind.LOADING:
            limit = limits.loading_max_pct or 100.0
            return 1.0, limit, self._margin_pu * limit
        if kind is RowKind.V_MAX:
            return 1.0, limits.v_max_pu, self._margin_pu
        return -1.0, limits.v_min_pu, self._margin_pu
