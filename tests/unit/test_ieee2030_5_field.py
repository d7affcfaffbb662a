"""Dispatch over IEEE 2030.5: commands as controls, Responses as answers."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ems.domain import (
    DerReading,
    EndDeviceAddress,
    Readback,
    Setpoint,
)
from ems.errors import Contested, DeviceError, FellBack, RefusedWrite, Unreachable
from ems.gateways.ieee2030_5.field import Ieee2030Field
from ems.gateways.ieee2030_5.memory import MemoryServer
from ems.protocols.ieee2030_5 import modes, sep, values
from ems.unmoved import disobeying, refreshed, unmoved
from tests.ieee2030_5_field import (
    ANSWER_S,
    AT,
    BES,
    DG,
    PV,
    REVERSION_S,
    SITE,
    cap,
    end_device,
    field_of,
    setpoint,
)
from tests.sites import NOW, snapshot

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
