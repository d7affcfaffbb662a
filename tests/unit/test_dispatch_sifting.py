"""Wide programs by narrow ones, and rows chosen so that few are enough."""

from dataclasses import replace

import numpy as np
import pytest

from ems.constrain.linear import ROWS_PER_ROUND, RowKey, worst_keys
from ems.dispatch import highs, ipopt, sifting
from ems.dispatch.program import LinearProgram, Sparse, kkt_residual
from ems.dispatch.sifting import Sifting, is_wide
from ems.domain import RowKind, SolverStatus


def wide(rows: int = 3, columns: int = 240) -> LinearProgram:
    """Plants that share a few limits, elastic as rows of eq. (10) are."""
    rng = np.random.default_rng(3)
    a = rng.uniform(0.2, 1.0, (rows, columns))
    width = rng.uniform(10.0, 80.0, columns)
    return LinearProgram(
        c=np.concatenate([-rng.uniform(0.1, 0.4, columns), np.full(rows, 1e3)]),
        a=Sparse.of(np.hstack([a, -np.eye(rows)])),
        row_lo=np.full(rows, -np.inf),
        row_hi=a @ width * rng.uniform(0.4, 0.7, rows),
        x_lo=np.zeros(columns + rows),
        x_hi=np.concatenate([width, np.full(rows, np.inf)]),
    )


def turned(program: LinearProgram) -> LinearProgram:
    """The same with every row read the other way round: −a·x ≥ −limit."""
    return replace(
        program, a=Sparse.of(-program.a.csr), row_lo=-program.row_hi, row_hi=-program.row_lo
    )


@pytest.mark.parametrize("program", [wide(), turned(wide()), wide(rows=8)])
def test_a_wide_program_is_solved_by_a_narrow_one_to_the_optimum_of_all_columns(
    program: LinearProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = []

    class Told(Sifting):
        def narrow(self) -> LinearProgram:
            found = super().narrow()
            widths.append(len(found.c))
            return found

    monkeypatch.setattr(ipopt, "Sifting", Told)
    assert is_wide(program)
    solution, other = ipopt.solve(program), highs.solve(program)
    assert widths
    assert max(widths) < len(program.c) / 2
    assert solution.status is SolverStatus.OPTIMAL
    assert kkt_residual(program, solution) <= 1e-7
    assert program.c @ solution.x == pytest.approx(program.c @ other.x, rel=1e-8)
    assert solution.row_dual == pytest.approx(other.row_dual, abs=1e-6)


def test_where_the_guess_is_wrong_the_columns_it_held_are_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = wide()
    best = program.c @ highs.solve(program).x
    monkeypatch.setattr(sifting, "STEPS", 0)  # no guess: every plant at what it can make
    solution = ipopt.solve(program)
    assert program.c @ solution.x == pytest.approx(best, rel=1e-8)
    assert kkt_residual(program, solution) <= 1e-7


def test_a_program_is_not_wide_with_few_columns_or_with_rows_of_two_sides() -> None:
    assert not is_wide(wide(columns=40))
    program = wide()
    assert not is_wide(replace(program, row_lo=program.row_hi - 1.0))


# --- which rows go in first ------------------------------------------------------------


def test_the_worst_of_each_phase_comes_before_the_second_of_any() -> None:
    keys: list[RowKey] = [("high", RowKind.V_MAX, i) for i in range(30)]
    found = {key: 1.0 - 0.01 * i for i, key in enumerate(keys)}

    def phase(key: RowKey) -> int:
        return 0 if key[2] < 20 else 1  # the worst twenty all on one phase

    first = worst_keys(found, (), phase)
    assert first[:4] == [keys[0], keys[20], keys[1], keys[21]]
    assert len(first) == ROWS_PER_ROUND
    assert worst_keys(found, first, phase)[0] == keys[3]
