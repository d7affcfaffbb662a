"""A limit that a DER breaks which cannot be moved: that DER is named, and what it may do."""

from dataclasses import replace
from functools import partial

from ems.constrain import constrain
from ems.dispatch import dispatch
from ems.domain import Degraded, Infeasible, InForce, Quality, Secured, Setpoint, Site, Snapshot
from ems.unmoved import Held, unmoved
from feeders import Feeder
from tests.sites import NOW, PRICE_USD_PER_KWH, segment, sky, snapshot


def unheard(site: Site, load_kw: float, *names: str) -> Snapshot:
    heard = snapshot(site, load_kw)
    silent = {n: replace(heard.ders[n], p_kw=0.0, quality=Quality.ASSUMED) for n in names}
    return replace(heard, ders={**heard.ders, **silent})


def decided(
    *names: str, load_kw: float = 6000.0, sun_kw: float = 10_000.0, held: Held | None = None,
    site: Site | None = None,
) -> Secured:  # fmt: skip
    site, forecast = site or segment(), sky(sun_kw, sun_kw, load_kw=load_kw)
    state = unheard(site, load_kw, *names)
    pins = unmoved(site, state, held or {})
    resolve = partial(dispatch, site, state, forecast, PRICE_USD_PER_KWH)
    free = resolve((), {name: pin.expected for name, pin in pins.items()})
    feeder = Feeder.open("segment13", site.placements)
    return constrain(site, state, forecast, free, feeder, resolve, pins=pins)


def test_a_plant_that_was_never_heard_is_named_as_what_breaks_the_limit() -> None:
    secured = decided("pv")
    assert isinstance(secured, Infeasible)
    start = "pv does not answer and may do anything: at full sun it would lift B13 to 1.1"
    assert secured.reason.startswith(start)
    assert "not caused by DERs" not in secured.reason


def test_of_several_that_are_silent_the_one_that_breaks_the_limit_is_named() -> None:
    secured = decided("pv", "bes", "dg")
    assert isinstance(secured, Infeasible)
    assert secured.reason.startswith("pv does not answer and may do anything: at full sun it ")


def test_what_it_still_may_hold_is_told_where_that_is_known() -> None:
    site = segment()
    cap = Setpoint(der="pv", p_kw=8000.0, q_kvar=0.0, cap_kw=8000.0)
    held = InForce(setpoints=(cap,), written=NOW, reverts_from=NOW, reverts_until=NOW)
    secured = decided("pv", held={"pv": held}, site=site)
    assert isinstance(secured, Infeasible)
    assert secured.reason.startswith(
        "pv does not answer and may give anything from 0 to 8000 kW: at full sun it would lift "
    )


def test_a_limit_that_breaks_without_the_silent_device_too_is_not_put_on_it() -> None:
    secured = decided("pv", load_kw=14_500.0, sun_kw=0.0, site=segment(v_min_pu=0.99))
    assert isinstance(secured, Infeasible)
    assert "not caused by DERs" in secured.reason


def test_a_corner_that_only_the_silent_plant_could_break_is_put_on_it_too() -> None:
    """Safe as expected, and not should the sun come out."""
    site = segment()
    forecast = sky(3000.0, 10_000.0, load_kw=9000.0)
    state = unheard(site, 9000.0, "pv")
    pins = unmoved(site, state, {})
    resolve = partial(dispatch, site, state, forecast, PRICE_USD_PER_KWH)
    free = resolve((), {"pv": pins["pv"].expected})
    feeder = Feeder.open("segment13", site.placements)
    secured = constrain(site, state, forecast, free, feeder, resolve, pins=pins)
    assert isinstance(secured, Degraded)
    assert secured.reason.startswith(
        "safe as expected, but pv does not answer and may do anything: at full sun it would lift "
        "B13 to 1.1"
    )
