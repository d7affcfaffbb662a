"""What a device does with events, and what it answers: the schedule, without a network."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.enddevice.application import INVALID, NOT_APPLICABLE, Value
from ems.enddevice.programs import ReadControl, ReadDefault, ReadProgram, values_of
from ems.enddevice.schedule import Schedule, Turn
from ems.protocols.ieee2030_5 import events, sep

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
SUPPORTED = {"opModMaxLimW", "opModFixedW", "opModFixedVar", "opModVoltVar", "opModFixedPFInjectW"}
SCHEDULED, CANCELLED, CANCELLED_RANDOMLY, SUPERSEDED = 0, 2, 3, 4


def refuses(control: Mapping[str, Value]) -> int | None:
    if not control.keys() <= SUPPORTED:
        return NOT_APPLICABLE
    return INVALID if control.get("opModMaxLimW") == 9999 else None


def control(
    number: int, start: int, duration: int, *, created: int = 0, status: int = SCHEDULED,
    since: int = 0, required: str = "03", category: str | None = None, random_start: int = 0,
    random_duration: int = 0, **modes: Any,
) -> ReadControl:  # fmt: skip
    base = sep.DERControlBase(**(modes or {"opModMaxLimW": 100 * number}))
    made = sep.DERControl(
        mRID=f"{number:032X}",
        replyTo="/rsps/1/r",
        responseRequired=required,
        creationTime=created,
        EventStatus_=sep.EventStatus(
            currentStatus=status, dateTime=since, potentiallySuperseded=False
        ),
        interval=sep.DateTimeInterval(start=start, duration=duration),
        randomizeStart=random_start or None,
        randomizeDuration=random_duration or None,
        deviceCategory=category,
        DERControlBase_=base,
    )
    return ReadControl(control=made, values=values_of(base, {}))


def program(primacy: int, *controls: ReadControl, **default: Any) -> ReadProgram:
    held = None
    if default:
        base = sep.DERControlBase(**default)
        made = sep.DefaultDERControl(mRID=f"{primacy:031X}D", DERControlBase_=base)
        held = ReadDefault(control=made, values=values_of(base, {}))
    return ReadProgram(mrid=f"P{primacy}", primacy=primacy, controls=controls, default=held)


class Device:
    """A schedule, and what it has answered."""

    def __init__(self) -> None:
        self.schedule = Schedule(LFDI, refuses)
        self.said: list[tuple[int, int, int]] = []

    def at(self, now: int, *programs: ReadProgram) -> Turn:
        """What happens at an instant, after the server was read where programs are given."""
        if programs:
            self.schedule.learn(programs, now)
        turn = self.schedule.advance(now)
        self.said += [(int(a.subject, 16), int(a.status), a.time) for a in turn.answers]
        return turn

    def statuses(self, number: int) -> list[int]:
        return [status for subject, status, _ in self.said if subject == number]


def limit(turn: Turn) -> Value | None:
    return turn.control.value("opModMaxLimW")


def test_an_event_is_received_started_and_completed_and_the_default_holds_around_it() -> None:
    device = Device()
    site = program(1, control(7, 100, 50), opModMaxLimW=8000)
    assert limit(device.at(10, site)) == 8000
    assert device.at(99).until == 100
    assert limit(device.at(100)) == 700
    assert device.at(149).until == 150
    assert limit(device.at(150)) == 8000
    assert device.said == [(7, 1, 10), (7, 2, 100), (7, 3, 150)]


def test_an_event_that_has_begun_starts_when_it_is_received() -> None:
    device = Device()
    device.at(120, program(1, control(7, 100, 50)))
    assert device.said == [(7, 1, 120), (7, 2, 120)]


def test_an_event_received_after_its_end_is_answered_by_254_and_never_followed() -> None:
    device = Device()
    assert limit(device.at(150, program(1, control(7, 100, 50)))) is None
    assert device.said == [(7, 254, 150)]


@pytest.mark.parametrize(
    ("modes", "status"),
    [
        ({"opModWattPF": sep.Link(href="/dc/1")}, 253),  # a curve that could not be read
        ({"opModLVRTMayTrip": 0}, 252),
        ({"opModMaxLimW": 9999}, 253),
        ({"opModMaxLimW": 10, "opModConnect": True}, 252),  # nothing is done by halves
        ({"opModFixedVar": sep.FixedVar(refType=2, value=0),
          "opModFixedPFInjectW": sep.PowerFactorWithExcitation(
              displacement=95, excitation=True, multiplier=-2)}, 253),  # two at odds
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused(modes: dict[str, Any], status: int) -> None:
    device = Device()
    read = control(7, 100, 50, **{k: v for k, v in modes.items() if k != "opModLVRTMayTrip"})
    if "opModLVRTMayTrip" in modes:
        read = ReadControl(control=read.control, values={"opModLVRTMayTrip": True})
    turn = device.at(120, program(1, read))
    assert device.said == [(7, status, 120)]
    assert turn.control.ordered == {}


def test_responses_are_sent_as_far_as_they_are_required() -> None:
    device = Device()
    device.at(
        10,
        program(
            1,
            control(1, 100, 50, required="00", opModFixedW=1),
            control(2, 200, 50, required="01", opModFixedW=2),
            control(3, 300, 50, required="02", opModFixedW=3),
        ),
    )
    for now in (100, 150, 200, 250, 300, 350):
        device.at(now)
    assert device.said == [(2, 1, 10), (3, 2, 300), (3, 3, 350)]


def test_an_event_for_another_category_is_not_ours() -> None:
    device = Device()
    device.schedule.category = 1 << 16
    ours = control(2, 100, 50, category=f"{1 << 16:X}", opModFixedW=1)
    device.at(120, program(1, control(1, 100, 50, category="1"), ours))
    assert device.statuses(1) == []
    assert device.statuses(2) == [1, 2]


# --- cancelling and superseding ----------------------------------------------------------------


@pytest.mark.parametrize(("first_look", "expected"), [(50, [1, 6]), (110, [1, 2, 6])])
def test_a_cancelled_event_ends_at_once(first_look: int, expected: list[int]) -> None:
    device = Device()
    device.at(first_look, program(1, control(7, 100, 50)))
    turn = device.at(120, program(1, control(7, 100, 50, status=CANCELLED, since=115)))
    assert device.statuses(7) == expected
    assert turn.control.ordered == {}


def test_a_randomly_cancelled_event_ends_within_its_randomisation() -> None:
    device = Device()
    device.at(105, program(1, control(7, 100, 5000, random_duration=60)))
    ends = control(7, 100, 5000, random_duration=60, status=CANCELLED_RANDOMLY, since=200)
    until = device.at(200, program(1, ends)).until
    assert until is not None
    assert 200 <= until <= 260
    device.at(until)
    assert device.statuses(7) == [1, 2, 6]


def test_an_event_that_the_server_forgets_is_cancelled() -> None:
    device = Device()
    device.at(110, program(1, control(7, 100, 50)))
    device.at(120, program(1))
    assert device.statuses(7) == [1, 2, 6]


def test_an_event_that_is_first_seen_cancelled_is_not_answered() -> None:
    device = Device()
    device.at(110, program(1, control(7, 100, 50, status=CANCELLED, since=105)))
    assert device.said == []


def test_a_newer_event_of_the_program_supersedes_when_it_starts_and_for_good() -> None:
    device = Device()
    site = program(1, control(1, 100, 100, created=1), control(2, 140, 20, created=2))
    assert limit(device.at(50, site)) is None
    assert limit(device.at(100)) == 100
    assert device.at(100).until == 140
    assert limit(device.at(140)) == 200
    assert limit(device.at(160)) is None
    assert device.statuses(1) == [1, 2, 7]
    assert device.statuses(2) == [1, 2, 3]


def test_an_event_the_server_marks_as_superseded_ends() -> None:
    device = Device()
    device.at(110, program(1, control(7, 100, 50)))
    device.at(120, program(1, control(7, 100, 50, status=SUPERSEDED, since=120)))
    assert device.statuses(7) == [1, 2, 7]


def superseded(start: int, *, now: int) -> ReadProgram:
    """As the server has it once others than this device may have started the newer event."""
    status = SUPERSEDED if now >= start else SCHEDULED
    return program(
        1,
        control(1, 0, 3600, created=0, status=status, since=start, opModMaxLimW=4000),
        control(2, start, 3000, created=30, random_start=600, opModMaxLimW=3000),
    )


@pytest.mark.usefixtures("latest")
def test_what_the_server_says_is_superseded_lasts_until_the_newer_one_starts_here() -> None:
    device = Device()
    for now in (31, 60, 400, 659):
        assert limit(device.at(now, superseded(60, now=now))) == 4000
    assert limit(device.at(660)) == 3000
    assert device.said == [(2, 1, 31), (1, 1, 31), (1, 2, 31), (1, 7, 660), (2, 2, 660)]


@pytest.mark.usefixtures("latest")
def test_a_restart_meanwhile_takes_up_what_is_superseded_elsewhere() -> None:
    device = Device()
    turn = device.at(60, superseded(60, now=60))
    assert (limit(turn), turn.until) == (4000, 660)
    assert limit(device.at(660)) == 3000
    assert device.statuses(1) == [1, 2, 7]


@pytest.mark.usefixtures("latest")
@pytest.mark.parametrize("gone", ["cancelled", "refused", "opted out"])
def test_what_is_superseded_ends_where_the_newer_one_will_not_start(gone: str) -> None:
    device = Device()
    device.at(31, superseded(60, now=31))
    listed = superseded(60, now=70)
    changes: dict[str, dict[str, Any]] = {
        "cancelled": {"status": CANCELLED, "since": 65, "opModMaxLimW": 3000},
        "refused": {"opModMaxLimW": 9999},
        "opted out": {"opModMaxLimW": 3000},
    }
    newer = control(2, 60, 3000, created=30, random_start=600, **changes[gone])
    if gone == "opted out":
        device.schedule.opt_out(f"{2:032X}", 65)
    turn = device.at(70, replace(listed, controls=(listed.controls[0], newer)))
    assert limit(turn) == (4000 if gone == "opted out" else None)
    device.at(660)
    assert device.statuses(1) == [1, 2, 7]


@pytest.mark.usefixtures("latest")
def test_an_event_that_ends_before_the_one_that_supersedes_it_starts_here_lasts_so_long() -> None:
    device = Device()
    listed = program(
        1,
        control(1, 0, 100, opModMaxLimW=4000),
        control(2, 60, 900, created=30, random_start=600, opModMaxLimW=3000),
    )
    assert [limit(device.at(now, listed)) for now in (31, 100)] == [4000, 4000]
    rest = replace(listed, controls=listed.controls[1:])  # the old one is no longer listed
    assert [limit(device.at(now, rest)) for now in (101, 659, 660)] == [4000, 4000, 3000]
    assert device.statuses(1) == [1, 2, 7]


def test_what_has_begun_goes_on_where_the_clock_is_set_back() -> None:
    device = Device()
    assert limit(device.at(100, program(1, control(7, 100, 50)))) == 700
    assert limit(device.at(98)) == 700
    device.at(150)
    assert device.statuses(7) == [1, 2, 3]


def test_what_another_program_goes_before_is_aborted_before_it_starts() -> None:
    device = Device()
    device.at(50, program(10, control(1, 100, 100)), program(5, control(2, 150, 20)))
    assert device.statuses(1) == [1, 14]
    assert limit(device.at(120)) is None
    assert limit(device.at(150)) == 200
    assert limit(device.at(170)) is None


def test_what_another_program_goes_before_while_it_runs_is_superseded() -> None:
    device = Device()
    device.at(110, program(10, control(1, 100, 100)))
    later = (program(10, control(1, 100, 100)), program(5, control(2, 150, 20)))
    assert limit(device.at(120, *later)) == 100
    assert limit(device.at(150)) == 200
    assert device.statuses(1) == [1, 2, 7]


def test_modes_that_do_not_exclude_each_other_run_side_by_side() -> None:
    device = Device()
    watts = control(1, 100, 100, opModFixedW=5000)
    limits = control(2, 100, 100, opModMaxLimW=6000)
    turn = device.at(110, program(10, watts), program(5, limits))
    assert turn.control.value("opModFixedW") == 5000
    assert limit(turn) == 6000


def test_two_reactive_modes_exclude_each_other_also_across_programs() -> None:
    device = Device()
    fixed = control(1, 100, 100, opModFixedVar=sep.FixedVar(refType=2, value=5000))
    turn = device.at(
        110,
        program(10, fixed),
        program(
            5,
            opModFixedPFInjectW=sep.PowerFactorWithExcitation(
                displacement=95, excitation=True, multiplier=-2
            ),
        ),
    )
    assert set(turn.control.ordered) == {"opModFixedVar"}  # an event goes before a default
    after = device.at(200)
    assert set(after.control.ordered) == {"opModFixedPFInjectW"}


def test_the_default_of_the_first_program_holds_and_others_fill_in() -> None:
    device = Device()
    turn = device.at(10, program(10, opModMaxLimW=1, opModFixedW=2), program(5, opModMaxLimW=3))
    assert (limit(turn), turn.control.value("opModFixedW")) == (3, 2)


def test_each_setting_is_that_of_the_first_program_whose_default_has_it() -> None:
    def with_settings(primacy: int, limit: int, **settings: int) -> ReadProgram:
        made = program(primacy, opModMaxLimW=limit)
        assert made.default is not None
        told = made.default.control.model_copy(update=settings)
        return replace(made, default=replace(made.default, control=told))

    device = Device()
    turn = device.at(
        10,
        with_settings(0, 1000),
        with_settings(1, 2000, setGradW=27, setESDelay=60_000),
        with_settings(2, 3000, setGradW=5, setSoftGradW=0),
    )
    settings = turn.control.default
    assert settings is not None
    assert limit(turn) == 1000
    assert (settings.setGradW, settings.setESDelay, settings.setSoftGradW) == (27, 60_000, 0)
    assert settings.setESLowFreq is None


# --- taking no part ------------------------------------------------------------------------------


def test_a_user_who_opts_out_is_told_as_such() -> None:
    device = Device()
    device.at(110, program(1, control(7, 100, 50)))
    device.schedule.opt_out(f"{7:032X}", 120)
    assert device.at(120).control.ordered == {}
    device.at(150)
    assert device.statuses(7) == [1, 2, 4, 8]


def test_a_user_who_opts_out_before_it_starts_has_no_part_in_it() -> None:
    device = Device()
    device.at(50, program(1, control(7, 100, 50)))
    device.schedule.opt_out(f"{7:032X}", 60)
    for now in (60, 100, 150):
        device.at(now)
    assert device.statuses(7) == [1, 4, 10]


def test_a_user_who_opts_out_and_in_again_has_taken_part_in_part() -> None:
    device = Device()
    device.at(110, program(1, control(7, 100, 50)))
    device.schedule.opt_out(f"{7:032X}", 120)
    device.schedule.opt_in(f"{7:032X}", 130)
    assert limit(device.at(130)) == 700
    device.at(150)
    assert device.statuses(7) == [1, 2, 4, 5, 9]


# --- randomisation -------------------------------------------------------------------------------


@given(
    random_start=st.integers(-600, 600),
    random_duration=st.integers(-600, 600),
    number=st.integers(1, 2**64),
)
def test_a_randomised_window_lies_within_its_bounds_and_a_restart_draws_alike(
    random_start: int, random_duration: int, number: int
) -> None:
    event = control(
        number, 5000, 3000, random_start=random_start, random_duration=random_duration,
        opModMaxLimW=1,
    )  # fmt: skip
    starts = []
    for _ in range(2):
        device = Device()
        start = device.at(10, program(1, event)).until
        assert start is not None
        assert 5000 + min(random_start, 0) <= start <= 5000 + max(random_start, 0)
        end = device.at(start).until
        assert end is not None
        assert 3000 + min(random_duration, 0) <= end - start <= 3000 + max(random_duration, 0)
        starts.append((start, end))
    assert starts[0] == starts[1]


# --- what changes under way ----------------------------------------------------------------------


def curve(top: int) -> sep.DERCurve:
    return sep.DERCurve(
        href="/dc/1", mRID="C1", creationTime=0, curveType=11, xMultiplier=0, yMultiplier=0,
        yRefType=2,
        CurveData_=[sep.CurveData(xvalue=v, yvalue=q) for v, q in ((92, top), (108, -top))],
    )  # fmt: skip


def curved(number: int, read: sep.DERCurve | None) -> ReadControl:
    """A control of a curve, as it was read; None: the curve could not be read."""
    made = control(number, 100, 50, opModVoltVar=sep.Link(href="/dc/1"))
    curves = {} if read is None else {"/dc/1": read}
    return ReadControl(control=made.control, values=values_of(made.control.DERControlBase_, curves))


@pytest.mark.parametrize("now", [50, 120])
def test_an_event_that_is_changed_to_what_cannot_be_followed_ends_with_253(now: int) -> None:
    device = Device()
    device.at(now, program(1, control(7, 100, 50), opModMaxLimW=8000))
    turn = device.at(now + 1, program(1, control(7, 100, 50, opModMaxLimW=9999), opModMaxLimW=8000))
    assert device.said[-1] == (7, 253, now + 1)
    assert limit(turn) == 8000
    device.at(200)
    assert device.statuses(7)[-1] == 253


def test_an_event_that_is_changed_to_another_value_goes_on_with_it() -> None:
    device = Device()
    device.at(110, program(1, control(7, 100, 50)))
    assert limit(device.at(120, program(1, control(7, 100, 50, opModMaxLimW=4000)))) == 4000
    device.at(150)
    assert device.statuses(7) == [1, 2, 3]


def test_a_curve_that_cannot_be_read_for_once_stays_as_it_was_read_last() -> None:
    device = Device()
    device.at(110, program(1, curved(7, curve(44))))
    for now in (120, 130):
        turn = device.at(now, program(1, curved(7, None)))
        assert turn.control.value("opModVoltVar") == curve(44)
    turn = device.at(140, program(1, curved(7, curve(30))))
    assert turn.control.value("opModVoltVar") == curve(30)
    device.at(150)
    assert device.statuses(7) == [1, 2, 3]


def test_an_event_that_two_programs_have_is_that_of_the_one_that_goes_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device = Device()
    for now in (110, 120):
        turn = device.at(
            now,
            program(5, control(7, 100, 50, opModMaxLimW=5000)),
            program(1, control(7, 100, 50, opModMaxLimW=1000)),
        )
        assert limit(turn) == 1000
    assert [message for message in caplog.messages if "is also in program P5" in message] == [
        caplog.messages[0]
    ]


def test_a_device_that_no_program_is_left_for_keeps_its_default_control() -> None:
    device = Device()
    assert limit(device.at(110, program(1, control(7, 100, 50), opModMaxLimW=8000))) == 700
    device.schedule.learn((), 120)
    turn = device.at(120)
    assert limit(turn) == 8000
    assert turn.control.default is not None
    assert device.statuses(7) == [1, 2, 6]
    assert limit(device.at(130, program(2, opModMaxLimW=6000))) == 6000
    assert limit(device.at(140, program(2))) is None


def test_a_control_that_cannot_even_be_judged_is_refused() -> None:
    def breaks(_control: Mapping[str, Value]) -> int | None:
        raise OverflowError

    device = Device()
    device.schedule = Schedule(LFDI, breaks)
    device.at(110, program(1, control(7, 100, 50)))
    assert device.statuses(7) == [253]


# --- what cannot be read, or believed --------------------------------------------------------


def unread(number: int, required: int = 3) -> sep.Unread:
    return sep.Unread(
        tag="DERControl", reason="primacy: too large", mrid=f"{number:032X}",
        reply_to="/rsps/1/r", response_required=required,
    )  # fmt: skip


def test_a_control_that_cannot_be_read_is_refused_once_and_the_others_act() -> None:
    device = Device()
    programs = replace(program(1, control(1, 100, 50)), unread=(unread(2), unread(3, 0)))
    device.at(0, programs)
    device.at(10, programs)
    device.at(120, programs)
    assert device.statuses(1) == [1, 2]
    assert (device.statuses(2), device.statuses(3)) == ([253], [])
    assert limit(device.at(121)) == 100


def test_a_running_event_that_becomes_unreadable_ends_with_253_not_as_cancelled() -> None:
    device = Device()
    device.at(0, program(1, control(1, 0, 50)))
    device.at(10, replace(program(1), unread=(unread(1),)))
    assert device.statuses(1) == [1, 2, 253]


def test_programs_that_could_not_be_read_stay_as_they_were() -> None:
    device = Device()
    device.at(0, program(1, control(1, 0, 500), opModMaxLimW=50))
    device.schedule.learn((), 10, whole=False)
    assert limit(device.at(11)) == 100
    assert device.statuses(1) == [1, 2]
    assert limit(device.at(501)) == 50


@pytest.mark.parametrize(
    ("start", "duration", "created"),
    [(1 << 62, 100, 0), (-(1 << 63), 100, 0), (253_402_300_000, 4_294_967_295, 0),
     (100, 100, 1 << 62)],
)  # fmt: skip
def test_an_event_with_absurd_times_is_refused_and_outranks_nobody(
    start: int, duration: int, created: int
) -> None:
    device = Device()
    device.at(0, program(1, control(1, start, duration, created=created), control(2, 100, 50)))
    assert limit(device.at(120)) == 200
    assert (device.statuses(1), device.statuses(2)) == ([253], [1, 2])


# --- events that follow on one another -------------------------------------------------------


def drawn_alike(sign: int) -> Callable[[int, int], int]:
    """All devices draw the latest, or the earliest."""
    return lambda low, high: high if sign > 0 else low


@pytest.fixture
def latest(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = events.drawn
    monkeypatch.setattr(
        "ems.enddevice.schedule.events.drawn",
        lambda event, _draw, received: drawn(event, drawn_alike(1), received),
    )


@pytest.mark.usefixtures("latest")
@pytest.mark.parametrize("created", [(0, 1), (1, 0), (0, 0)])
def test_an_event_that_randomisation_makes_last_into_the_next_ends_when_that_starts(
    created: tuple[int, int],
) -> None:
    """Whichever of them is the newer: neither supersedes the other."""
    device = Device()
    first, second = created
    listed = program(
        1,
        control(1, 100, 100, created=first, random_duration=60),
        control(2, 200, 100, created=second),
    )
    device.at(10, listed)
    assert limit(device.at(199)) == 100
    assert limit(device.at(200)) == 200
    assert limit(device.at(299)) == 200
    device.at(300)
    assert device.statuses(1) == [1, 2, 3]
    assert device.statuses(2) == [1, 2, 3]
    assert (1, 3, 200) in device.said


@pytest.mark.usefixtures("latest")
def test_between_two_events_of_a_program_that_touch_randomisation_makes_no_gap() -> None:
    device = Device()
    listed = program(
        1,
        control(1, 100, 100),
        control(2, 200, 100, random_start=40),
        opModMaxLimW=5,
    )
    device.at(10, listed)
    assert [limit(device.at(t)) for t in (199, 239, 240, 339, 340)] == [100, 100, 200, 200, 5]
    assert device.statuses(1) == [1, 2, 3]


@pytest.mark.usefixtures("latest")
def test_a_gap_that_was_scheduled_stays_one() -> None:
    device = Device()
    listed = program(1, control(1, 100, 99), control(2, 200, 100, random_start=40), opModMaxLimW=5)
    device.at(10, listed)
    assert [limit(device.at(t)) for t in (198, 199, 239, 240)] == [100, 5, 5, 200]


@pytest.mark.usefixtures("latest")
def test_an_event_of_a_later_program_waits_for_the_end_of_one_that_goes_first() -> None:
    device = Device()
    device.at(
        10,
        program(1, control(1, 100, 100, random_duration=60)),
        program(2, control(2, 200, 100)),
    )
    assert [limit(device.at(t)) for t in (200, 259, 260, 299)] == [100, 100, 200, 200]
    device.at(300)
    assert (device.statuses(1), device.statuses(2)) == ([1, 2, 3], [1, 2, 3])


@pytest.mark.usefixtures("latest")
def test_an_event_that_is_cancelled_or_refused_moves_no_other() -> None:
    device = Device()
    device.at(
        10,
        program(
            1,
            control(1, 100, 100, random_duration=60),
            control(2, 200, 100, status=CANCELLED, since=5),
            control(3, 200, 100, opModMaxLimW=9999),
        ),
    )
    assert limit(device.at(259)) == 100


@given(longer=st.integers(-3600, 3600), later=st.integers(-3600, 3600), created=st.integers(-1, 1))
def test_two_events_that_touch_never_leave_a_gap_or_lose_one(
    longer: int, later: int, created: int
) -> None:
    device = Device()
    start, span = 100_000, 8000
    listed = program(
        1,
        control(1, start, span, random_duration=longer),
        control(2, start + span, span, created=created + 1, random_start=later),
        opModMaxLimW=5,
    )
    device.at(10, listed)
    seen = [limit(device.at(t)) for t in range(start, start + 2 * span + 3600, 60)]
    assert 200 in seen
    first = seen.index(200)
    assert set(seen[:first]) == {100}
    assert 100 not in seen[first:]
    assert device.statuses(1) == [1, 2, 3]
