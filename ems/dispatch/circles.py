"""The circles of a reduced program, in the values of their own variables alone."""

from dataclasses import dataclass

import numpy as np

from ems.dispatch.presolve import Reduced
from ems.dispatch.program import Floats, Ints, Quadratic


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The variables of every circle, one circle after the other; shape (member,) each.

    Points and slopes of circles are told by one number for each.
    """

    circle: Ints
    column: Ints
    """Number in the reduced program; −1: taken out."""
    fixed: Floats
    """Value where it is taken out, else 0."""
    width: int
    """Variables of the reduced program."""
    first: Ints
    """Member that is the first factor of each term, shape (term,)."""
    second: Ints
    of_term: Ints
    """Circle of each term, shape (term,)."""
    coef: Floats
    hi: Floats
    """Shape (circle,)."""

    @classmethod
    def of(cls, circles: Quadratic, small: Reduced) -> "Members":
        """The members of quadratic rows."""
        n = len(small.free)
        pairs = np.concatenate([circles.row * n + circles.i, circles.row * n + circles.j])
        members, at = np.unique(pairs, return_inverse=True)
        variable = members % n
        first, second = np.split(at, 2)
        number = np.where(small.free, np.cumsum(small.free) - 1, -1)
        return cls(
            circle=members // n, column=number[variable], fixed=small.fixed[variable],
            width=len(small.program.c), first=first, second=second,
            of_term=circles.row, coef=circles.coef, hi=circles.hi,
        )  # fmt: skip

    def at(self, x: Floats) -> Floats:
        """Values of the members at a point of the reduced program."""
        return np.where(self.column >= 0, x[self.column], self.fixed)

    def values(self, y: Floats) -> Floats:
        """Left-hand sides, shape (circle,)."""
        terms = self.coef * y[self.first] * y[self.second]
        return np.bincount(self.of_term, weights=terms, minlength=len(self.hi)).astype(float)

    def slopes(self, y: Floats) -> Floats:
        """Derivative of each circle by its own variables."""
        n = len(self.circle)
        by_first = np.bincount(self.first, weights=self.coef * y[self.second], minlength=n)
        by_second = np.bincount(self.second, weights=self.coef * y[self.first], minlength=n)
        return np.asarray(by_first + by_second)

    def onto(self, y: Floats) -> Floats:
        """Where rays from 0 through a point meet the circles; nothing of those it is far inside."""
        values = self.values(y)
        outside = values > self.hi / 4.0
        longer = np.where(outside, np.sqrt(self.hi / np.where(outside, values, 1.0)), 0.0)
        return np.asarray(y * longer[self.circle])

    def pull(self, y: Floats, dual: Floats) -> Floats:
        """Σ dual·∇circle by the variables of the reduced program, shape (variable,)."""
        inside = self.column >= 0
        weights = (dual[self.circle] * self.slopes(y))[inside]
        return np.bincount(self.column[inside], weights=weights, minlength=self.width).astype(float)
