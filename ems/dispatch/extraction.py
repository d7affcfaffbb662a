"""A Pyomo model as matrices, walked through once; after that only numbers are looked up.

Which variable stands in which row with which coefficient never changes with the interval: what
does are costs, right-hand sides and bounds that Pyomo holds as expressions of its parameters. These
expressions are kept with their places, and evaluated again for every interval.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.repn import generate_standard_repn
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

from ems.dispatch.columns import Column, Columns
from ems.dispatch.program import Floats, Ints, LinearProgram, Quadratic, Sparse

EQUAL, BELOW, ABOVE = 0, 1, -1
"""The compiler's words for what a row is: at, below or above its right-hand side."""


class Extraction:
    """The matrices of one model."""

    def __init__(self, model: Any, ders: tuple[str, ...]) -> None:
        """Walk through a model: objective `cost`, circles `capability`, DERs in site order."""
        form = LinearStandardFormCompiler().write(model, mixed_form=True)
        self.columns = Columns(
            [_column(v) for v in form.columns],
            [_column(row.constraint) for row in form.rows],
            ders,
            list(model.capability),
        )
        kinds = np.array([row.bound_type for row in form.rows])
        self._below = np.flatnonzero(kinds >= EQUAL)
        self._above = np.flatnonzero(kinds <= EQUAL)
        self._c = _Numbers(_costs(model, form.columns))
        self._rhs = _Numbers([_right_hand_side(*row) for row in form.rows])
        self._x_lo = _Numbers([-np.inf if v.lower is None else v.lower for v in form.columns])
        self._x_hi = _Numbers([np.inf if v.upper is None else v.upper for v in form.columns])
        still = np.full(len(kinds), np.inf)
        self._still = LinearProgram(
            c=np.zeros(len(form.columns)), a=Sparse.of(sp.csr_array(form.A)), row_lo=-still,
            row_hi=still, x_lo=np.zeros(len(form.columns)), x_hi=np.zeros(len(form.columns)),
            circles=_circles(model, self.columns),
        )  # fmt: skip

    def program(self) -> LinearProgram:
        """The program with the parameters as they are set now."""
        rhs, still = self._rhs.now(), self._still
        row_lo, row_hi = still.row_lo.copy(), still.row_hi.copy()
        row_lo[self._above], row_hi[self._below] = rhs[self._above], rhs[self._below]
        return LinearProgram(
            c=self._c.now(), a=still.a, row_lo=row_lo, row_hi=row_hi, x_lo=self._x_lo.now(),
            x_hi=self._x_hi.now(), circles=still.circles,
        )  # fmt: skip


class _Numbers:
    """Numbers of which some are expressions of parameters."""

    def __init__(self, found: Sequence[Any]) -> None:
        moving = [not isinstance(x, int | float) for x in found]
        self._places: Ints = np.flatnonzero(moving)
        self._values = [_evaluated(found[i]) for i in self._places.tolist()]
        self._still: Floats = np.array(
            [0.0 if moves else x for x, moves in zip(found, moving, strict=True)], dtype=float
        )

    def now(self) -> Floats:
        numbers = self._still.copy()
        numbers[self._places] = [value() for value in self._values]
        return numbers


def _evaluated(found: Any) -> Callable[[], float]:
    """A parameter, or an expression of them, as nested calls.

    Pyomo's own walk through an expression takes three times as long, all of it before the sums.
    """
    if isinstance(found, int | float):
        return lambda: found
    if not found.is_expression_type():
        value: Callable[[], float] = found
        return value
    total = found._apply_operation  # noqa: SLF001 - what Pyomo's walk calls at each node
    parts = [_evaluated(part) for part in found.args]
    return lambda: total([part() for part in parts])


def _costs(model: Any, columns: Sequence[Any]) -> list[Any]:
    """Cost of each variable, a number or an expression."""
    form = generate_standard_repn(model.cost.expr, compute_values=False, quadratic=False)
    found = {id(v): c for v, c in zip(form.linear_vars, form.linear_coefs, strict=True)}
    return [found.get(id(v), 0.0) for v in columns]


def _right_hand_side(constraint: Any, kind: int) -> Any:
    """What a row is held to, what its body adds by itself taken off."""
    bound = constraint.lower if kind == ABOVE else constraint.upper
    own = generate_standard_repn(constraint.body, compute_values=False, quadratic=False).constant
    return bound if isinstance(own, int | float) and own == 0 else bound - own


def _circles(model: Any, columns: Columns) -> Quadratic | None:
    """The inverters' circles as triplets."""
    terms: list[tuple[int, int, int, float]] = []
    hi = []
    for row, name in enumerate(model.capability):
        form = generate_standard_repn(model.capability[name].body, quadratic=True)
        for (v, w), coef in zip(form.quadratic_vars, form.quadratic_coefs, strict=True):
            i, j = columns[_column(v)], columns[_column(w)]
            terms.append((row, max(i, j), min(i, j), float(coef)))
        hi.append(float(pyo.value(model.capability[name].upper)))
    if not hi:
        return None
    places = np.array([term[:3] for term in terms], dtype=np.intp)
    return Quadratic(
        row=places[:, 0], i=places[:, 1], j=places[:, 2],
        coef=np.array([term[3] for term in terms]), hi=np.array(hi),
    )  # fmt: skip


def _column(named: Any) -> Column:
    """Name and DER of a variable, or of a constraint."""
    index = named.index()
    return named.parent_component().local_name, "" if index is None else str(index)
