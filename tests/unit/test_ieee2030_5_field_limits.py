"""Dispatch over IEEE 2030.5 beside other programs: their limits are kept, and never lifted."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from ems.cycle import run_cycle
from ems.domain import (
    DerReading,
    Partial,
    Readback,
    Setpoint,
)
from ems.errors import Contested, FellBack
from ems.gateways.ieee2030_5.ahead import EARLY_S
from ems.gateways.ieee2030_5.memory import MemoryComing, MemoryDevice, MemoryServer
from ems.gateways.ieee2030_5.orders import held
from ems.gateways.ieee2030_5.ratings import ratings
from ems.protocols.ieee2030_5 import sep, values
from ems.response import with_foreign_caps
from ems.unmoved import after_writes, unconfirmed
from tests.ieee2030_5_field import (
    AT,
    BES,
    DG,
    MODES,
    PV,
    REVERSION_S,
    SITE,
    cap,
    end_device,
    field_of,
    limit_of,
    setpoint,
    world,
)
from tests.sites import AUTO, NOW, PRICE_USD_PER_KWH, ports, snapshot


def test_a_limit_of_another_program_is_never_lifted_by_a_command() -> None:
    device = end_device(PV)
    device.others = [limit_of(20.0), sep.DERControlBase(opModGenLimW=values.active_power(3e6))]
    field, server = field_of(pv=device)
    answer = field.write([replace(cap(None), reversion_kw=9000.0)])["pv"]
    assert server.published[0][1].base.opModMaxLimW == 2000
    assert server.defaults[0][1].opModMaxLimW == 2000
    assert isinstance(answer, Readback)
    assert answer.cap_kw == pytest.approx(0.2 * PV.rated_kw)


def test_a_limit_below_nought_is_none_at_all_left() -> None:
    device = end_device(PV)
    device.others = [sep.DERControlBase(opModExpLimW=values.active_power(-100.0))]
    field, server = field_of(pv=device)
    assert isinstance(field.write([cap(9000.0)])["pv"], Readback)
    assert server.published[0][1].base.opModMaxLimW == 0


def test_a_limit_that_comes_later_lowers_what_the_device_holds_and_it_stays_commanded() -> None:
    field, server = field_of(pv=end_device(PV))
    field.write([cap(8000.0)])
    server.pass_s(100.0)
    server.devices["pv"].others = [limit_of(20.0)]
    shown = field.read(NOW)["pv"]
    newest = server.devices["pv"].orders[0]
    assert newest.base.opModMaxLimW == 2000
    assert newest.start + newest.duration == AT + REVERSION_S
    assert isinstance(shown, DerReading)
    assert shown.cap_kw == shown.most_kw == pytest.approx(0.2 * PV.rated_kw)
    assert not with_foreign_caps(SITE, {"pv": shown}, {"pv": (8000.0,)}, ())["pv"].limited
    field.read(NOW)
    assert len(server.published) == 2


def test_a_limit_that_was_lifted_leaves_no_trace_that_looks_like_somebody_elses() -> None:
    field, server = field_of(pv=end_device(PV))
    device = server.devices["pv"]
    field.write([cap(8000.0)])
    device.others = [limit_of(5.0)]
    field.read(NOW)
    device.others = []
    shown = field.read(NOW)["pv"]
    assert isinstance(shown, DerReading)
    assert not with_foreign_caps(SITE, {"pv": shown}, {"pv": (8000.0,)}, ("pv",))["pv"].limited
    field.write([cap(8000.0)])
    assert device.orders[0].base.opModMaxLimW == 8000
    assert device.default is not None
    assert device.default.opModMaxLimW == int(1000.0 / PV.rated_kw * 10_000)


def test_a_disconnect_by_another_program_is_kept_and_named() -> None:
    device = end_device(BES)
    device.others = [sep.DERControlBase(opModConnect=False)]
    field, server = field_of(bes=device)
    answer = field.write([setpoint(BES, 100.0)])["bes"]
    base = server.published[0][1].base
    assert (base.opModConnect, base.opModFixedW) == (False, 0)
    assert "another program" in str(answer)


@pytest.mark.parametrize("supported", [MODES, ("opModMaxLimW", "opModFixedVar")])
def test_a_plant_that_others_disconnect_is_not_proved_to_give_reactive_power(
    supported: tuple[str, ...],
) -> None:
    device = end_device(PV, supported=supported)
    device.others = [sep.DERControlBase(opModConnect=False)]
    field, server = field_of(pv=device)
    answer = field.write([cap(8000.0, 100.0)])["pv"]
    var = server.published[0][1].base.opModFixedVar
    assert var is not None
    assert var.value == 0
    assert isinstance(answer, Contested)
    assert "another program" in str(answer)
    answer = field.write([cap(8000.0)])["pv"]
    assert isinstance(answer, Readback)
    assert (answer.cap_kw, answer.q_kvar) == (0.0, 0.0)


def test_what_an_order_of_others_holds_off_the_grid_is_no_power_at_all() -> None:
    of = ratings(end_device(DG))
    assert of is not None
    var = sep.FixedVar(refType=values.REF_MAX_W, value=1000)
    base = sep.DERControlBase(opModConnect=False, opModFixedW=5000, opModFixedVar=var)
    assert held(DG, base, of) == Readback(p_kw=0.0, q_kvar=0.0, cap_kw=None)


def test_a_limit_that_begins_while_a_control_runs_is_in_it_from_its_beginning() -> None:
    """A client may not ask in between, and GEEMS may be gone by then."""
    device = end_device(PV)
    device.coming = [MemoryComing(base=limit_of(20.0), start=AT + 200)]
    field, server = field_of(pv=device)
    answer = field.write([cap(8000.0)])["pv"]
    ((_, order),) = server.published
    assert (order.base.opModMaxLimW, order.duration) == (2000, REVERSION_S)
    assert device.default is not None
    assert device.default.opModMaxLimW == int(1000.0 / PV.rated_kw * 10_000)
    assert isinstance(answer, Readback)
    assert answer.cap_kw == pytest.approx(0.2 * PV.rated_kw)
    shown = field.read(NOW)["pv"]
    assert isinstance(shown, DerReading)
    assert shown.most_kw == pytest.approx(0.2 * PV.rated_kw)


def test_a_default_of_others_that_comes_back_is_in_ours_already() -> None:
    """GEEMS may be gone when their event ends, and our default goes before theirs."""
    device = end_device(PV)
    device.others = [limit_of(80.0)]
    device.coming = [MemoryComing(base=limit_of(5.0), start=AT + 7200, lasts=True)]
    field, _ = field_of(pv=device)
    field.write([cap(8000.0)])
    assert device.default is not None
    assert device.default.opModMaxLimW == 500


def test_a_limit_that_is_raised_again_leaves_the_plant_commanded() -> None:
    device = end_device(PV)
    device.others = [limit_of(80.0)]
    field, server = field_of(pv=device)
    field.write([cap(8000.0)])
    device.others = [limit_of(50.0)]
    field.read(NOW)
    device.others = [limit_of(80.0)]
    server.pass_s(100.0)
    shown = field.read(NOW + timedelta(seconds=100))["pv"]
    assert isinstance(shown, DerReading)
    assert (shown.cap_kw, shown.most_kw, shown.lifted) == (5000.0, 8000.0, True)
    assert not with_foreign_caps(SITE, {"pv": shown}, {"pv": (8000.0,)}, ())["pv"].limited


def test_a_limit_of_nothing_that_is_lifted_still_shows_the_cap_that_is_held() -> None:
    """Else what the plant does not make would pass for what it could not."""
    device = end_device(PV)
    device.others = [limit_of(0.0)]
    field, server = field_of(pv=device)
    field.write([cap(8000.0)])
    device.others = []
    server.pass_s(10.0)
    shown = field.read(NOW + timedelta(seconds=10))["pv"]
    assert isinstance(shown, DerReading)
    assert (shown.cap_kw, shown.most_kw, shown.lifted) == (0.0, None, True)


def test_what_a_silent_plant_makes_beyond_a_limit_of_others_is_reckoned_with() -> None:
    """It was never heard to follow: it is proved up to what the sun allows."""
    device = end_device(PV, p_kw=9000.0)
    device.answers_after_s = None
    device.others = [limit_of(20.0)]
    field, _, _ = world(pv=device)
    policy = replace(AUTO, reversion_s=REVERSION_S)
    record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, replace(ports(SITE), field=field), NOW)
    assert isinstance(record.outcomes["pv"], Partial)
    assert record.forecast.pv["pv"].upper_kw == pytest.approx(2000.0)
    assert record.forecast.unlimited["pv"].upper_kw > 2000.0
    assert record.status == "infeasible"
    assert any("above 1.1 pu" in alarm for alarm in record.alarms)


def test_a_long_control_ends_before_a_limit_that_is_far_ahead() -> None:
    device = end_device(PV)
    device.coming = [MemoryComing(base=limit_of(20.0), start=AT + 7200)]
    field, server = field_of(pv=device)
    answer = field.write([cap(8000.0, reversion_s=36_000)])["pv"]
    ((_, order),) = server.published
    assert (order.base.opModMaxLimW, order.duration) == (8000, 7200 - EARLY_S)
    assert isinstance(answer, Readback)
    assert answer.ends_s == 7200.0 - EARLY_S
    for _ in range(60):
        server.pass_s(60.0)
        field.write([cap(8000.0, reversion_s=36_000)])
    assert [o.base.opModMaxLimW for _, o in server.published] == [8000, 8000]
    server.pass_s(3000.0)
    field.write([cap(8000.0, reversion_s=36_000)])
    assert server.published[-1][1].base.opModMaxLimW == 2000


def test_a_limit_after_the_end_of_a_control_does_not_touch_it() -> None:
    device = end_device(PV)
    device.coming = [MemoryComing(base=limit_of(20.0), start=AT + REVERSION_S)]
    field, server = field_of(pv=device)
    field.write([cap(8000.0)])
    assert server.published[0][1].base.opModMaxLimW == 8000


@pytest.mark.parametrize("start", [None, AT + 150])
def test_a_limit_is_laid_in_as_soon_as_it_is_published(start: int | None) -> None:
    field, server = field_of(pv=end_device(PV))
    field.write([cap(8000.0)])
    server.limit("pv", limit_of(20.0), start)
    field.close()
    newest = server.devices["pv"].orders[0]
    assert newest.base.opModMaxLimW == 2000
    assert newest.start + newest.duration == AT + REVERSION_S


def test_a_limit_far_ahead_that_is_published_later_shortens_what_runs() -> None:
    field, server = field_of(pv=end_device(PV))
    field.write([cap(8000.0, reversion_s=36_000)])
    server.limit("pv", limit_of(20.0), AT + 7200)
    field.close()
    newest = server.devices["pv"].orders[0]
    ends = newest.start + newest.duration
    assert (newest.base.opModMaxLimW, ends) == (8000, AT + 7200 - EARLY_S)


def slow(server: MemoryServer, monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> None:
    """Let time pass between what is known of the devices and what is published for them."""
    keep = server.keep_defaults

    def kept(*given: Mapping[str, sep.DERControlBase]) -> None:
        server.pass_s(seconds)
        keep(*given)

    monkeypatch.setattr(server, "keep_defaults", kept)


@pytest.mark.parametrize("begins_s", [REVERSION_S, REVERSION_S + 1, 7200])
def test_a_control_that_is_published_a_second_late_does_not_reach_into_a_limit(
    monkeypatch: pytest.MonkeyPatch, begins_s: int
) -> None:
    """The device would give that up as a whole."""
    device = end_device(PV)
    device.coming = [MemoryComing(base=limit_of(20.0), start=AT + begins_s)]
    field, server = field_of(pv=device)
    slow(server, monkeypatch, seconds=1.0)
    reversion_s = REVERSION_S if begins_s < 7200 else 36_000
    field.write([cap(8000.0, reversion_s=reversion_s)])
    _, order = server.published[0]
    assert (order.base.opModMaxLimW, order.start) == (8000, AT + 1)
    assert order.start + order.duration <= AT + begins_s


def test_a_control_that_is_published_a_second_late_is_not_published_again_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = end_device(PV)
    device.coming = [MemoryComing(base=limit_of(20.0), start=AT + 7200)]
    field, server = field_of(pv=device)
    slow(server, monkeypatch, seconds=1.0)
    for _ in range(3):
        field.write([cap(8000.0, reversion_s=36_000)])
        field.read(NOW)
    assert len(server.published) == 1


def test_a_control_that_is_shortened_a_second_late_does_not_reach_into_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field, server = field_of(pv=end_device(PV))
    field.write([cap(8000.0, reversion_s=36_000)])
    slow(server, monkeypatch, seconds=1.0)
    server.limit("pv", limit_of(20.0), AT + 7200)
    field.close()
    field.read(NOW)
    assert len(server.published) == 2
    newest = server.devices["pv"].orders[0]
    assert newest.start + newest.duration <= AT + 7200


def default_of(device: MemoryDevice) -> int | None:
    assert device.default is not None
    return device.default.opModMaxLimW


def test_an_event_that_our_control_reaches_into_is_kept_by_our_default_from_then_on() -> None:
    """The device gives it up as a whole: after our control nothing else would keep the limit."""
    device = end_device(PV)
    device.coming = [MemoryComing(base=limit_of(5.0), start=AT + 200)]
    field, server = field_of(pv=device)
    field.write([cap(8000.0)])
    assert (server.published[0][1].base.opModMaxLimW, default_of(device)) == (500, 500)


def test_an_event_that_is_published_into_our_control_is_kept_by_our_default() -> None:
    field, server = field_of(pv=end_device(PV))
    field.write([cap(8000.0)])
    server.limit("pv", limit_of(5.0), AT + 200)
    field.close()
    assert default_of(server.devices["pv"]) == 500


def test_an_event_that_our_control_reached_into_is_kept_though_our_control_was_shortened() -> None:
    """The device may have heard of both, and given the event up."""
    field, server = field_of(pv=end_device(PV))
    field.write([cap(8000.0, reversion_s=36_000)])
    server.limit("pv", limit_of(5.0), AT + 7200)
    field.close()
    assert default_of(server.devices["pv"]) == 500
    field.write([cap(8000.0, reversion_s=36_000)])
    assert default_of(server.devices["pv"]) == 500


def test_an_event_that_only_our_default_goes_beyond_is_kept_by_it() -> None:
    """It does not lower our control, which then reaches into it."""
    device = end_device(PV)
    device.coming = [MemoryComing(base=limit_of(8.0), start=AT + 7200)]
    field, server = field_of(pv=device)
    field.write([cap(500.0, reversion_s=36_000)])
    ((_, order),) = server.published
    assert (order.base.opModMaxLimW, order.duration) == (500, 36_000)
    assert default_of(device) == 800


def test_an_event_that_no_control_of_ours_reaches_into_leaves_our_default_alone() -> None:
    """The device follows it: events go before defaults."""
    device = end_device(PV)
    device.coming = [MemoryComing(base=limit_of(5.0), start=AT + REVERSION_S + EARLY_S)]
    field, _ = field_of(pv=device)
    field.write([cap(8000.0)])
    assert default_of(device) == int(1000.0 / PV.rated_kw * 10_000)


def test_a_limit_that_comes_while_an_answer_is_awaited_is_in_the_answer() -> None:
    device = end_device(BES)
    device.answers_after_s = 30.0
    field, server = field_of(bes=device)

    def limited() -> None:
        server.while_waiting = lambda: None
        server.limit("bes", sep.DERControlBase(opModGenLimW=values.active_power(0.0)))

    server.while_waiting = limited
    answer = field.write([setpoint(BES, BES.rated_kw)])["bes"]
    assert isinstance(answer, FellBack)
    assert "another program" in str(answer)
    assert device.orders[0].base.opModFixedW == 0


def test_a_generator_cut_below_what_it_falls_back_to_is_proved_down_to_the_cut() -> None:
    """Reactive power that was ordered stays: a limit cuts active power alone."""
    shown_kw = 0.8 * DG.rated_kw
    device = end_device(DG, p_kw=shown_kw)
    cut_kw = 0.1 * DG.rated_kw
    device.others = [sep.DERControlBase(opModGenLimW=values.active_power(cut_kw * 1000.0))]
    field, _ = field_of(dg=device)
    back_kw = 0.3 * DG.rated_kw
    asked = replace(setpoint(DG, 0.9 * DG.rated_kw, 0.2 * DG.rated_kw), reversion_kw=back_kw)
    answer = field.write([asked])["dg"]
    assert isinstance(answer, Contested)
    sent = Partial(command=asked, reason=str(answer), contested=True)
    seen = snapshot(SITE)
    seen = replace(
        seen, ders={**seen.ders, "dg": replace(seen.ders["dg"], p_kw=shown_kw, q_kvar=0.0)}
    )
    others = {n: Partial(command=cap(None), reason="") for n in SITE.names if n != "dg"}
    wanted = {"dg": Setpoint(der="dg", p_kw=0.9 * DG.rated_kw, q_kvar=0.2 * DG.rated_kw)}
    outcomes = {**others, "dg": sent}
    ders = [replace(d, reversion_kw=back_kw) if d is DG else d for d in SITE.ders]
    site = replace(SITE, ders=tuple(ders))
    held = after_writes({}, wanted, {"dg": sent}, NOW)
    may = unconfirmed(site, seen, outcomes, held)["dg"]
    assert may.low.p_kw <= cut_kw
    assert may.high.p_kw >= 0.9 * DG.rated_kw
    assert (may.low.q_kvar, may.high.q_kvar) == (0.0, 0.2 * DG.rated_kw)


def test_a_battery_that_is_limited_lies_between_what_it_was_asked_and_nought() -> None:
    device = end_device(BES)
    device.others = [sep.DERControlBase(opModLoadLimW=values.active_power(1000.0))]
    field, _ = field_of(bes=device)
    assert isinstance(field.write([setpoint(BES, -BES.rated_kw)])["bes"], FellBack)


def test_a_limit_above_what_is_asked_changes_nothing() -> None:
    device = end_device(BES)
    device.others = [limit_of(60.0), sep.DERControlBase(opModLoadLimW=values.active_power(1e9))]
    field, _ = field_of(bes=device)
    assert isinstance(field.write([setpoint(BES, BES.rated_kw / 2)])["bes"], Readback)
    assert isinstance(field.write([setpoint(BES, -BES.rated_kw)])["bes"], Readback)


def test_a_device_that_opts_in_again_holds_its_control() -> None:
    device = end_device(PV)
    device.answers = (1, 4, 5)
    field, _ = field_of(pv=device)
    assert isinstance(field.write([cap(5000.0)])["pv"], Readback)


def test_a_device_that_opts_out_later_is_found_out_at_the_next_refresh_and_reading() -> None:
    field, server = field_of(pv=end_device(PV))
    field.write([cap(5000.0)])
    shown = field.read(NOW)["pv"]
    assert isinstance(shown, DerReading)
    assert shown.cap_kw == pytest.approx(5000.0, abs=1.0)
    server.pass_s(60)
    server.respond("pv", 4)
    shown = field.read(NOW)["pv"]
    assert isinstance(shown, DerReading)
    assert shown.cap_kw == pytest.approx(1000.0, abs=1.0)
    assert "opted out" in str(field.write([cap(5000.0)])["pv"])
    assert len(server.published) == 1
