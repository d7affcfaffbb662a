"""The matrices of an interval, whose numbers are looked up, are those that Pyomo compiles."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

from ems.dispatch.model import DispatchModel, IntervalData
from ems.domain import Site
from tests.property.test_dispatch import sites, sites_at_a_price, sites_with_inverters

EQUAL, BELOW, ABOVE = 0, 1, -1
"""The compiler's words for what a row is."""
price = st.just(0.0) | st.floats(-0.5, 1.0)


@st.composite
def intervals(draw: st.DrawFn, site: Site) -> IntervalData:
    names = [d.name for d in site.ders]
    upper = {pv.name: pv.rated_kw * draw(st.floats(0.0, 1.2)) for pv in site.pvs}
    return IntervalData(
        price_usd_per_kwh=draw(price),
        load_kw=draw(st.just(0.0) | st.floats(0.0, 50_000.0)),
        pv_upper_kw=upper,
        pv_expected_kw={name: kw * draw(st.floats(0.0, 1.0)) for name, kw in upper.items()},
        soc_pct={b.name: draw(st.none() | st.floats(0.0, 100.0)) for b in site.bess},
        dg_kw={d.name: draw(st.floats(0.0, 1.1)) * d.rated_kw for d in site.dgs},
        dg_may_fall=draw(st.booleans()),
        pinned=frozenset(draw(st.sets(st.sampled_from(names)))),
        loss_factor=draw(st.none() | st.floats(0.0, 0.2)),
        peak_kw=draw(st.none() | st.floats(0.0, 20_000.0)),
        load_kvar=draw(st.none() | st.floats(-5_000.0, 20_000.0)),
    )


@given(st.data())
def test_the_next_intervals_matrices_are_those_that_pyomo_compiles_for_it(
    data: st.DataObject,
) -> None:
    site = data.draw(sites() | sites_at_a_price() | sites_with_inverters())
    model = DispatchModel(site)
    model.extract(data.draw(intervals(site)))  # what is kept of it must not show in the next

    program, columns = model.extract(data.draw(intervals(site)))

    form = LinearStandardFormCompiler().write(model._model, mixed_form=True)
    names = [(v.parent_component().local_name, v.index() or "") for v in form.columns]
    assert list(columns) == names
    rows = [r.constraint for r in form.rows]
    assert list(columns.rows) == [(r.parent_component().local_name, r.index() or "") for r in rows]
    assert np.array_equal(program.c, form.c.toarray()[0])
    assert np.array_equal(program.a.csr.toarray(), form.A.toarray())
    kinds, rhs = np.array([r.bound_type for r in form.rows]), np.array(form.rhs)
    assert np.array_equal(program.row_hi, np.where(kinds == ABOVE, np.inf, rhs))
    assert np.array_equal(program.row_lo, np.where(kinds == BELOW, -np.inf, rhs))
    bounds = np.array([v.bounds for v in form.columns], dtype=float)
    assert np.array_equal(program.x_lo, np.nan_to_num(bounds[:, 0], nan=-np.inf))
    assert np.array_equal(program.x_hi, np.nan_to_num(bounds[:, 1], nan=np.inf))
