"""Dispatch over IEEE 2030.5: commands as controls, Responses as answers, mirrors as readings."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from ems.command import command
from ems.cycle import run_cycle
from ems.domain import (
    Bes,
    Command,
    DerReading,
    Dg,
    EndDeviceAddress,
    LoadReading,
    Partial,
    Pv,
    Readback,
    Sent,
    Setpoint,
)
from ems.errors import Contested, DeviceError, FellBack, RefusedWrite, Unreachable
from ems.gateways.ieee2030_5.ahead import EARLY_S
from ems.gateways.ieee2030_5.field import Ieee2030Field
from ems.gateways.ieee2030_5.joined import JoinedField
from ems.gateways.ieee2030_5.memory import MemoryComing, MemoryDevice, MemoryReading, MemoryServer
from ems.gateways.ieee2030_5.orders import held
from ems.gateways.ieee2030_5.ratings import ratings
from ems.gateways.memory import MemoryField
from ems.protocols.ieee2030_5 import modes, sep, values
from ems.response import with_foreign_caps
from ems.unmoved import after_writes, disobeying, refreshed, unconfirmed, unmoved
from tests.sites import AUTO, LOAD_KW, NOW, PRICE_USD_PER_KWH, ports, segment, snapshot

AT = int(NOW.timestamp())
SITE = segment()
PV, BES, DG = SITE.pvs[0], SITE.bess[0], SITE.dgs[0]
ANSWER_S = 75.0
MODES = ("opModMaxLimW", "opModFixedW", "opModFixedVar", "opModConnect")
REVERSION_S = 300


def end_device(
    der: Pv | Bes | Dg,
    *,
    p_kw: float = 0.0,
    q_kvar: float = 0.0,
    supported: tuple[str, ...] = MODES,
) -> MemoryDevice:
    """One that answers at once, and mirrors what it does."""
    device = MemoryDevice(
        capability=sep.DERCapability(
            modesSupported=modes.bits_of(supported),
            rtgMaxW=values.active_power(der.rated_kw * 1000.0),
            rtgMaxVar=values.reactive_power(der.rated_kw * 500.0),
            rtgVNom=sep.VoltageRMS(multiplier=0, value=480),
            type_=4,
        ),
        readings=[
            MemoryReading(value=p_kw * 1000.0, uom=38, time=AT),
            MemoryReading(value=q_kvar * 1000.0, uom=63, time=AT),
        ],
        last_seen=AT,
    )
    if isinstance(der, Bes):
        device.status = sep.DERStatus(
            readingTime=AT,
            stateOfChargeStatus=sep.StateOfChargeStatus(dateTime=AT, value=6000),
        )
    return device


def field_of(**devices: MemoryDevice) -> tuple[Ieee2030Field, MemoryServer]:
    server = MemoryServer(devices, AT)
    addresses = {
        name: EndDeviceAddress(enddevice=name.upper(), answer_s=ANSWER_S) for name in devices
    }
    return Ieee2030Field(SITE, addresses, server, fresh_s=120.0), server


def cap(cap_kw: float | None, q_kvar: float = 0.0, *, reversion_s: int = REVERSION_S) -> Command:
    return Command(
        der=PV.name, p_kw=None, q_kvar=q_kvar, cap_kw=cap_kw, reversion_kw=1000.0,
        reversion_s=reversion_s,
    )  # fmt: skip


def setpoint(der: Bes | Dg, p_kw: float, q_kvar: float = 0.0) -> Command:
    return Command(
        der=der.name, p_kw=p_kw, q_kvar=q_kvar, cap_kw=None, reversion_kw=0.0,
        reversion_s=REVERSION_S,
    )  # fmt: skip


# --- what is published ---------------------------------------------------------------


def test_a_command_becomes_a_control_for_as_long_as_the_device_shall_hold_it() -> None:
    field, server = field_of(pv=end_device(PV))
    field.write([cap(5000.0)])
    ((name, order),) = server.published
    assert (name, order.start, order.duration) == ("pv", AT, REVERSION_S)
    assert order.base.opModMaxLimW == int(5000.0 / PV.rated_kw * 10_000)
    assert order.base.opModFixedW is None


def test_the_default_control_is_what_the_device_falls_back_to_and_is_kept_true() -> None:
    field, server = field_of(pv=end_device(PV), bes=end_device(BES), dg=end_device(DG))
    field.write([cap(5000.0), setpoint(BES, 100.0), setpoint(DG, 100.0)])
    defaults = {name: device.default for name, device in server.devices.items()}
    assert defaults["pv"] is not None
    assert defaults["bes"] is not None
    assert defaults["dg"] is not None
    assert defaults["pv"].opModMaxLimW == int(1000.0 / PV.rated_kw * 10_000)
    assert defaults["bes"].opModFixedW == 0
    assert defaults["dg"].opModFixedW == 0
    field.write([cap(4000.0)])
    assert len(server.defaults) == 3
    field.write([replace(cap(3000.0), reversion_kw=500.0)])
    assert server.defaults[-1][1].opModMaxLimW == int(500.0 / PV.rated_kw * 10_000)


@pytest.mark.parametrize("cap_kw", [0.0, 1.0 / 3.0, 3333.333, 9999.99])
def test_a_cap_is_rounded_down_and_never_above_what_a_load_flow_verified(cap_kw: float) -> None:
    field, _ = field_of(pv=end_device(PV))
    answer = field.write([cap(cap_kw)])["pv"]
    assert isinstance(answer, Readback)
    assert answer.cap_kw is not None
    assert cap_kw - PV.rated_kw / 10_000 < answer.cap_kw <= cap_kw


@pytest.mark.parametrize("share", [-0.77777, -1e-6, 0.0, 0.33333, 1.0])
def test_a_setpoint_is_rounded_towards_zero(share: float) -> None:
    field, _ = field_of(bes=end_device(BES))
    asked = share * BES.rated_kw
    answer = field.write([setpoint(BES, asked)])["bes"]
    assert isinstance(answer, Readback)
    assert answer.p_kw is not None
    assert abs(answer.p_kw) <= abs(asked)
    assert abs(answer.p_kw - asked) <= BES.rated_kw / 10_000
    assert answer.p_kw * asked >= 0.0


def test_no_cap_is_ordered_as_all_of_the_rating_so_that_the_default_does_not_bind() -> None:
    field, server = field_of(pv=end_device(PV))
    answer = field.write([cap(None)])["pv"]
    assert server.published[0][1].base.opModMaxLimW == 10_000
    assert isinstance(answer, Readback)
    assert answer.cap_kw is None


def test_percentages_relate_to_what_the_device_is_set_to_not_to_the_site_file() -> None:
    device = end_device(PV)
    set_w = PV.rated_kw * 900.0
    device.settings = sep.DERSettings(
        setGradW=0, setMaxW=values.active_power(set_w), updatedTime=AT
    )
    field, server = field_of(pv=device)
    answer = field.write([cap(4500.0)])["pv"]
    assert server.published[0][1].base.opModMaxLimW == int(4_500_000 / set_w * 10_000)
    assert isinstance(answer, Readback)
    assert answer.cap_kw == pytest.approx(4500.0, abs=set_w / 1e7)


def test_charging_is_a_share_of_the_rate_of_charge() -> None:
    device = end_device(BES)
    assert device.capability is not None
    device.capability.rtgMaxChargeRateW = values.active_power(BES.rated_kw * 800.0)
    field, server = field_of(bes=device)
    answer = field.write([setpoint(BES, -BES.rated_kw / 4)])["bes"]
    assert server.published[0][1].base.opModFixedW == -3125
    assert isinstance(answer, Readback)
    assert answer.p_kw == pytest.approx(-BES.rated_kw / 4)


def test_reactive_power_is_a_share_of_what_the_device_can_inject() -> None:
    field, server = field_of(dg=end_device(DG))
    answer = field.write([setpoint(DG, 1000.0, 100.0)])["dg"]
    var = server.published[0][1].base.opModFixedVar
    assert var is not None
    assert var.refType == values.REF_MAX_VAR
    assert isinstance(answer, Readback)
    assert 0.0 <= 100.0 - answer.q_kvar <= DG.rated_kw / 10_000


def test_reactive_power_is_a_share_of_setmaxw_where_absorbing_has_another_range() -> None:
    device = end_device(DG)
    assert device.capability is not None
    device.capability.rtgMaxVarNeg = sep.ReactivePower(multiplier=3, value=-100)
    field, server = field_of(dg=device)
    answer = field.write([setpoint(DG, 1000.0, -60.0)])["dg"]
    var = server.published[0][1].base.opModFixedVar
    assert var is not None
    assert var.refType == values.REF_MAX_W
    assert isinstance(answer, Readback)
    assert answer.q_kvar == pytest.approx(-60.0, abs=DG.rated_kw / 10_000)


def test_nought_is_a_disconnect_where_the_site_says_so() -> None:
    server = MemoryServer({"pv": end_device(PV)}, AT)
    address = EndDeviceAddress(enddevice="PV", answer_s=ANSWER_S, disconnect_at_zero=True)
    field = Ieee2030Field(SITE, {"pv": address}, server, fresh_s=120.0)
    for cap_kw, q_kvar, connected in ((0.0, 0.0, False), (0.0, 50.0, True), (100.0, 0.0, True)):
        field.write([cap(cap_kw, q_kvar)])
        assert server.published[-1][1].base.opModConnect is connected


# --- what counts as an answer --------------------------------------------------------


def test_a_write_counts_when_the_device_answers_that_it_takes_it() -> None:
    device = end_device(PV)
    device.answers_after_s = 40.0
    field, server = field_of(pv=device)
    answer = field.write([cap(5000.0)])["pv"]
    assert server.now() == AT + 40
    assert isinstance(answer, Readback)
    assert answer.reverts
    assert answer.ends_s == REVERSION_S


def test_a_device_that_answers_late_is_not_known_to_hold_it() -> None:
    device = end_device(PV)
    device.answers_after_s = None
    field, server = field_of(pv=device)
    answer = field.write([cap(5000.0)])["pv"]
    assert isinstance(answer, Unreachable)
    assert "no Response" in str(answer)
    assert server.now() == AT + ANSWER_S


def test_one_silent_device_delays_the_answers_of_no_other_beyond_its_own_time() -> None:
    silent = end_device(PV)
    silent.answers_after_s = None
    field, server = field_of(pv=silent, bes=end_device(BES))
    answers = field.write([cap(5000.0), setpoint(BES, 100.0)])
    assert isinstance(answers["bes"], Readback)
    assert isinstance(answers["pv"], Unreachable)
    assert server.now() == AT + ANSWER_S


@pytest.mark.parametrize("status", [4, 8, 10, 252, 253, 254])
def test_opting_out_and_rejecting_are_told_with_the_reason(status: int) -> None:
    device = end_device(PV)
    device.answers = (1, status)
    field, server = field_of(pv=device)
    answer = field.write([cap(5000.0)])["pv"]
    assert isinstance(answer, FellBack)
    assert f"Response {status}" in str(answer)
    assert server.now() == AT


@pytest.mark.parametrize("answers", [(1, 13), (1, 14), (1, 2, 7)])
def test_a_device_under_another_program_is_not_taken_to_hold_its_default(
    answers: tuple[int, ...],
) -> None:
    device = end_device(BES)
    device.answers = answers
    field, _ = field_of(bes=device)
    answer = field.write([setpoint(BES, 20.0)])["bes"]
    assert isinstance(answer, Contested)
    assert f"Response {answers[-1]}" in str(answer)
    shown = field.read(NOW)["bes"]
    assert isinstance(shown, DerReading)
    assert shown.local
    assert shown.p_set_kw is None


def test_what_another_program_orders_is_what_the_device_is_reckoned_with() -> None:
    """Before its measurement has come that far."""
    device = end_device(BES)
    device.answers = (1, 14)
    device.others = [sep.DERControlBase(opModFixedW=-10_000)]
    field, _ = field_of(bes=device)
    field.write([setpoint(BES, 20.0)])
    shown = field.read(NOW)["bes"]
    assert isinstance(shown, DerReading)
    assert shown.p_set_kw == pytest.approx(-BES.rated_kw)
    at = snapshot(SITE)
    pinned = unmoved(SITE, replace(at, ders={**at.ders, "bes": shown}), {})["bes"]
    assert pinned.low.p_kw == pytest.approx(-BES.rated_kw)
    assert "Response 14" in disobeying(replace(at, ders={**at.ders, "bes": shown}), None)["bes"]


@pytest.mark.parametrize(
    "answers", [(1, 2, 4, 2), (253, 2), (1, 252, 1), (1, 14, 2), (2, 13, 1), (1, 4, 1), (10, 5)]
)
def test_an_older_response_that_comes_again_undoes_no_refusal(answers: tuple[int, ...]) -> None:
    device = end_device(PV)
    device.answers = answers
    field, _ = field_of(pv=device)
    assert isinstance(field.write([cap(5000.0)])["pv"], DeviceError)


def test_that_its_user_has_seen_a_control_is_no_acceptance() -> None:
    device = end_device(PV)
    device.answers = (11,)
    field, server = field_of(pv=device)
    assert isinstance(field.write([cap(5000.0)])["pv"], Unreachable)
    assert server.now() == AT + ANSWER_S


def test_the_end_of_a_control_counts_from_the_reading_that_its_cycle_began_with() -> None:
    device = end_device(PV)
    device.answers_after_s = 70.0
    field, server = field_of(pv=device)
    field.read(NOW)
    server.pass_s(30.0)
    answer = field.write([cap(5000.0)])["pv"]
    assert isinstance(answer, Readback)
    held = refreshed(
        None, Setpoint(der="pv", p_kw=5000.0, q_kvar=0.0, cap_kw=5000.0), cap(5000.0), NOW, answer
    )
    order = server.published[0][1]
    assert held.latest == NOW + timedelta(seconds=order.start + order.duration - AT)


# --- limits of other programs --------------------------------------------------------


def limit_of(share_pct: float) -> sep.DERControlBase:
    return sep.DERControlBase(opModMaxLimW=int(share_pct * 100))


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

    def kept(defaults: Mapping[str, sep.DERControlBase]) -> None:
        server.pass_s(seconds)
        keep(defaults)

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


# --- refreshing ----------------------------------------------------------------------


def test_refreshes_do_not_flood_devices_with_controls() -> None:
    """A control of five minutes, refreshed every minute for an hour: not even half as many."""
    field, server = field_of(pv=end_device(PV))
    for _ in range(60):
        answer = field.write([cap(5000.0)])["pv"]
        assert isinstance(answer, Readback)
        assert answer.ends_s is not None
        assert answer.ends_s > 60.0
        server.pass_s(60.0)
    assert len(server.published) <= 21


def test_a_renewal_is_not_waited_for_while_the_control_before_still_runs() -> None:
    device = end_device(PV)
    field, server = field_of(pv=device)
    field.write([cap(5000.0)])
    device.answers_after_s = None
    server.pass_s(200.0)
    answer = field.write([cap(5000.0)])["pv"]
    assert len(server.published) == 2
    assert server.now() == AT + 200
    assert isinstance(answer, Readback)
    assert answer.ends_s == REVERSION_S - 200
    server.pass_s(110.0)
    assert isinstance(field.write([cap(5000.0)])["pv"], Unreachable)


def test_another_command_supersedes_at_once_and_is_waited_for() -> None:
    field, server = field_of(pv=end_device(PV))
    field.write([cap(5000.0)])
    server.pass_s(10.0)
    server.devices["pv"].answers_after_s = 20.0
    answer = field.write([cap(4000.0)])["pv"]
    assert isinstance(answer, Readback)
    assert answer.ends_s == REVERSION_S
    assert [order.start for _, order in server.published] == [AT, AT + 10]


def test_a_control_that_nobody_renews_ends_and_the_default_shows() -> None:
    field, server = field_of(pv=end_device(PV))
    field.write([cap(5000.0)])
    server.pass_s(REVERSION_S)
    for reading in server.devices["pv"].readings:
        reading.time = server.now()
    shown = field.read(NOW)["pv"]
    assert isinstance(shown, DerReading)
    assert shown.cap_kw == pytest.approx(1000.0, abs=1.0)


# --- what is refused before anything is published ------------------------------------


def test_a_device_that_has_not_told_its_rating_is_not_commanded() -> None:
    device = end_device(PV)
    device.capability = None
    field, server = field_of(pv=device)
    answer = field.write([cap(5000.0)])["pv"]
    assert isinstance(answer, RefusedWrite)
    assert "DERCapability" in str(answer)
    assert not server.published
    assert not server.defaults


def test_a_device_with_another_rating_than_the_site_file_is_not_commanded() -> None:
    device = end_device(PV)
    assert device.capability is not None
    device.capability.rtgMaxW = values.active_power(PV.rated_kw * 100.0)
    field, server = field_of(pv=device)
    answer = field.write([cap(500.0)])["pv"]
    assert isinstance(answer, RefusedWrite)
    assert "mend rated_kw" in str(answer)
    assert not server.published


def test_a_mode_that_the_device_lacks_or_has_switched_off_is_named() -> None:
    field, _ = field_of(pv=end_device(PV, supported=("opModFixedVar",)))
    answer = field.write([cap(5000.0)])["pv"]
    assert isinstance(answer, RefusedWrite)
    assert "opModMaxLimW (modesSupported)" in str(answer)
    device = end_device(PV)
    device.settings = sep.DERSettings(
        setGradW=0, setMaxW=values.active_power(PV.rated_kw * 1000.0), updatedTime=AT,
        modesEnabled=modes.bits_of(("opModFixedVar",)),
    )  # fmt: skip
    field, _ = field_of(pv=device)
    answer = field.write([cap(5000.0)])["pv"]
    assert isinstance(answer, RefusedWrite)
    assert "switched off" in str(answer)


def test_a_curve_that_nothing_holds_off_is_a_reason_not_to_write() -> None:
    device = end_device(PV, supported=("opModMaxLimW", "opModVoltVar"))
    device.settings = sep.DERSettings(
        setGradW=0, setMaxW=values.active_power(PV.rated_kw * 1000.0), updatedTime=AT,
        modesEnabled=modes.bits_of(("opModMaxLimW", "opModVoltVar")),
    )  # fmt: skip
    field, server = field_of(pv=device)
    answer = field.write([cap(5000.0)])["pv"]
    assert isinstance(answer, RefusedWrite)
    assert "opModVoltVar may move its reactive power" in str(answer)
    assert not server.published


def test_a_device_under_local_control_is_shown_so_and_not_written() -> None:
    device = end_device(PV)
    device.status = sep.DERStatus(
        readingTime=AT, localControlModeStatus=sep.StatusValue(dateTime=AT, value=0)
    )
    field, server = field_of(pv=device)
    shown = field.read(NOW)["pv"]
    assert isinstance(shown, DerReading)
    assert shown.local
    assert isinstance(field.write([cap(5000.0)])["pv"], RefusedWrite)
    assert not server.published


def test_a_number_that_is_not_finite_goes_nowhere() -> None:
    field, server = field_of(pv=end_device(PV))
    assert isinstance(field.write([cap(float("nan"))])["pv"], RefusedWrite)
    assert not server.published


# --- readings ------------------------------------------------------------------------


def test_readings_carry_the_time_they_were_taken_and_the_oldest_that_is_needed() -> None:
    device = end_device(BES, p_kw=100.0)
    device.readings[1].time = AT - 30
    assert device.status is not None
    assert device.status.stateOfChargeStatus is not None
    device.status.stateOfChargeStatus.dateTime = device.status.readingTime = AT - 50
    field, _ = field_of(bes=device)
    shown = field.read(NOW)["bes"]
    assert isinstance(shown, DerReading)
    assert shown.time == NOW - timedelta(seconds=50)
    assert (shown.p_kw, shown.soc_pct) == (100.0, 60.0)


def test_the_flow_direction_says_which_way_is_counted() -> None:
    device = end_device(PV)
    device.readings = [
        MemoryReading(value=-2_000_000.0, uom=38, time=AT, flow=1),
        MemoryReading(value=1_000_000.0, uom=63, time=AT, flow=19),
        MemoryReading(value=9e9, uom=38, time=AT, qualifier=8),
    ]
    field, _ = field_of(pv=device)
    shown = field.read(NOW)["pv"]
    assert isinstance(shown, DerReading)
    assert (shown.p_kw, shown.q_kvar) == (2000.0, 1000.0)


def test_voltage_is_told_per_unit_and_power_with_what_is_in_reserve_while_it_is_fresh() -> None:
    device = end_device(PV, p_kw=1000.0)
    device.readings += [
        MemoryReading(value=277.1, uom=29, time=AT), MemoryReading(value=60.02, uom=33, time=AT),
    ]  # fmt: skip
    device.availability = sep.DERAvailability(
        readingTime=AT - 100, statWAvail=values.active_power(6_000_000.0)
    )
    field, server = field_of(pv=device)
    shown = field.read(NOW)["pv"]
    assert isinstance(shown, DerReading)
    assert shown.v_pu == pytest.approx(1.0, abs=1e-3)
    assert (shown.hz, shown.available_kw) == (60.02, 7000.0)
    server.pass_s(30.0)
    for reading in device.readings[:2]:
        reading.time = server.now()
    later = field.read(NOW)["pv"]
    assert isinstance(later, DerReading)
    assert later.available_kw is None


def test_readings_that_are_too_old_are_as_good_as_none() -> None:
    field, server = field_of(pv=end_device(PV))
    server.pass_s(120.0)
    assert isinstance(field.read(NOW)["pv"], DerReading)
    server.pass_s(1.0)
    answer = field.read(NOW)["pv"]
    assert isinstance(answer, Unreachable)
    assert "its last readings are 121 s old" in str(answer)


def test_a_device_that_mirrors_nothing_says_so_and_when_it_asked_last() -> None:
    device = end_device(PV)
    device.readings = []
    device.last_seen = AT - 7
    field, _ = field_of(pv=device)
    answer = field.read(NOW)["pv"]
    assert isinstance(answer, Unreachable)
    assert "asked 7 s ago" in str(answer)
    assert "W and var" in str(answer)


def test_an_end_device_that_is_not_registered_is_named() -> None:
    server = MemoryServer({}, AT)
    address = EndDeviceAddress(enddevice="INVERTER-7", answer_s=ANSWER_S)
    field = Ieee2030Field(SITE, {"pv": address}, server, fresh_s=120.0)
    assert "not registered" in str(field.read(NOW)["pv"])
    assert "INVERTER-7" in str(field.write([cap(1.0)])["pv"])


def test_a_meter_that_is_a_client_is_read_as_consumption() -> None:
    meter = MemoryDevice(readings=[MemoryReading(value=3_000_000.0, uom=38, time=AT, flow=1)])
    server = MemoryServer({"load": meter}, AT)
    address = EndDeviceAddress(enddevice="METER", answer_s=ANSWER_S)
    field = Ieee2030Field(SITE, {"load": address}, server, fresh_s=120.0)
    assert field.read_load(NOW) == LoadReading(time=NOW, p_kw=3000.0)


# --- in the cycle --------------------------------------------------------------------


def world(**devices: MemoryDevice) -> tuple[JoinedField, MemoryServer, MemoryField]:
    """The plant over IEEE 2030.5, generator and battery in memory."""
    ours, server = field_of(**devices)
    others = MemoryField(
        replace(SITE, ders=tuple(d for d in SITE.ders if d.name not in devices)),
        load_kw=LOAD_KW, p_kw={"dg": 2997.0, "bes": 0.0},
    )  # fmt: skip
    of = {d.name: ours if d.name in devices else others for d in SITE.ders}
    return JoinedField(of, others), server, others


def test_a_joined_field_routes_by_der() -> None:
    field, server, others = world(pv=end_device(PV, p_kw=7000.0))
    assert set(field.read(NOW)) == set(SITE.names)
    answers = field.write([cap(5000.0), setpoint(BES, 100.0)])
    assert all(isinstance(a, Readback) for a in answers.values())
    assert [name for name, _ in server.published] == ["pv"]
    assert [c.der for c in others.written] == ["bes"]
    with pytest.raises(ValueError, match="each once"):
        field.write([setpoint(BES, 1.0), setpoint(BES, 2.0)])
    field.close()
    assert others.closed


def test_a_cycle_sends_over_the_protocol_and_records_what_is_held() -> None:
    field, _, _ = world(pv=end_device(PV, p_kw=7953.0))
    policy_site = ports(SITE)
    policy = replace(AUTO, reversion_s=REVERSION_S)
    record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, replace(policy_site, field=field), NOW)
    outcome = record.outcomes["pv"]
    assert isinstance(outcome, Sent)
    assert outcome.readback.ends_s == REVERSION_S
    assert record.in_force["pv"].latest == NOW + timedelta(seconds=REVERSION_S)


def test_a_plant_that_our_own_server_limits_is_commanded_within_that_limit() -> None:
    """And what is proved is what it can give: a limit that is lifted does not raise its cap."""
    device = end_device(PV, p_kw=5000.0)
    device.others = [limit_of(50.0)]
    field, server, _ = world(pv=device)
    policy = replace(AUTO, reversion_s=REVERSION_S)
    record = None
    for _ in range(2):
        at = replace(ports(SITE), field=field)
        record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, at, NOW, record)
        outcome = record.outcomes["pv"]
        assert isinstance(outcome, Sent)
        assert outcome.command.cap_kw == 5000.0
        assert record.status == "verified"
        assert record.forecast.pv["pv"].upper_kw == 5000.0
        assert not record.alarms
    device.others = []
    field.write([outcome.command])
    assert device.orders[0].base.opModMaxLimW == 5000
    assert len(server.published) == 1


def test_a_silent_device_is_partial_and_the_mix_is_judged_with_what_it_falls_back_to() -> None:
    device = end_device(PV, p_kw=7953.0)
    device.answers_after_s = None
    field, _, _ = world(pv=device)
    policy = replace(AUTO, reversion_s=REVERSION_S)
    record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, replace(ports(SITE), field=field), NOW)
    outcome = record.outcomes["pv"]
    assert isinstance(outcome, Partial)
    assert "no Response" in outcome.reason
    assert record.status != "verified"
    assert any(alarm.startswith("after a write that failed") for alarm in record.alarms)


def test_a_device_that_opted_out_may_do_what_it_falls_back_to_from_now_on() -> None:
    device = end_device(PV, p_kw=7953.0)
    field, server, _ = world(pv=device)
    policy = replace(AUTO, reversion_s=3600)
    at = replace(ports(SITE), field=field)
    first = run_cycle(SITE, policy, PRICE_USD_PER_KWH, at, NOW)
    assert isinstance(first.outcomes["pv"], Sent)
    assert first.in_force["pv"].earliest == NOW + timedelta(hours=1)
    server.respond("pv", 4)
    record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, at, NOW, first)
    outcome = record.outcomes["pv"]
    assert isinstance(outcome, Partial)
    assert outcome.fell_back
    assert record.in_force["pv"].earliest == NOW
    assert record.in_force["pv"].latest == NOW + timedelta(hours=1)


def test_what_loads_waits_for_the_answer_of_what_relieves() -> None:
    """A battery goes on charging only once the plant's cap is known to be taken."""
    device = end_device(PV, p_kw=7953.0)
    device.answers_after_s = None
    field, _, others = world(pv=device)
    to = {
        "pv": Setpoint(der="pv", p_kw=4000.0, q_kvar=0.0, cap_kw=4000.0),
        "bes": Setpoint(der="bes", p_kw=500.0, q_kvar=0.0),
        "dg": Setpoint(der="dg", p_kw=2997.0, q_kvar=0.0),
    }
    outcomes = command(SITE, AUTO, snapshot(SITE), to, (), {}, field)
    assert isinstance(outcomes["pv"], Partial)
    assert not others.written
