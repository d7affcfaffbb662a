"""AGG-001 … AGG-012: an aggregator that acts for four inverters in two branches of the feeder.

Source, where a test names CTP 1.3: the SunSpec CSIP Conformance Test Procedures, version 1.3 with
its errata, as the public repository github.com/dsizzle83/csip-tls-test holds it (catalogue and
suite). EDA1 and EDA2 stand under transformer TFA (primacy 5), EDB1 and EDB2 under TFB; all under
the system SY (primacy 10). Times are the procedures'.
"""

from collections.abc import Iterator

import pytest

from ems.protocols.ieee2030_5 import sep
from tests.protocol.csip.followers import Followers
from tests.protocol.csip.utility import FLEET, Utility

RECEIVED, STARTED, COMPLETED, SUPERSEDED, OTHER_PROGRAM = 1, 2, 3, 7, 14
DONE = [RECEIVED, STARTED, COMPLETED]
UNDER_TFA, UNDER_TFB = ("eda1", "eda2"), ("edb1", "edb2")
LIMIT, PF, W = "opModMaxLimW", "opModFixedPFInjectW", "opModFixedW"
FACTOR = sep.PowerFactorWithExcitation(displacement=95, excitation=True, multiplier=-2)
MINUTE = 60


@pytest.fixture
def fleet(utility: Utility) -> Iterator[Followers]:
    utility.fleet()
    made = Followers(utility)
    made.follow(*FLEET, through="aggregator")
    yield made
    made.close()


def of(fleet: Followers, names: tuple[str, ...]) -> list[dict[str, str]]:
    """What is in force at some of them."""
    return [dict(fleet.sources()[name]) for name in names]


def all_of(names: tuple[str, ...], statuses: list[int]) -> dict[str, list[int]]:
    return dict.fromkeys(names, statuses)


def test_agg_001_the_aggregator_is_notified_of_the_controls_of_its_devices(
    utility: Utility,
) -> None:
    """CTP 1.3, AGG-001 subscription: by an independent client and its own listener."""
    utility.fleet()
    aggregator, listener = utility.client("aggregator"), utility.listener("aggregator")
    device = aggregator.device_of(utility.issued("eda1").lfdi)
    program = next(p for p in aggregator.programs(device) if p.text("description") == "TFA")
    controls = program.link("DERControlListLink")
    made = aggregator.subscribe(controls, listener.uri, device=aggregator.own())
    assert made.status == 201
    base, start = sep.DERControlBase(opModMaxLimW=5000), utility.now + 120
    published = utility.do(
        lambda: utility.board.publish("TFA", base=base, start=start, duration=60)
    )
    told = listener.next()
    assert told.text("subscribedResource") == controls
    assert published.mrid in aggregator.every(controls, "DERControl").texts("DERControl/mRID")


def test_agg_002_each_device_holds_the_default_of_its_nearest_group(fleet: Followers) -> None:
    """CTP 1.3, AGG-002: two programs, two defaults, no control."""
    tfa, sy = fleet.default("TFA", 5000), fleet.default("SY", 9000)
    fleet.refresh()
    assert of(fleet, UNDER_TFA) == [{LIMIT: tfa}] * 2
    assert of(fleet, UNDER_TFB) == [{LIMIT: sy}] * 2


@pytest.mark.parametrize("with_default", [False, True])
def test_agg_003_004_one_control_is_answered_for_the_devices_it_concerns(
    fleet: Followers, *, with_default: bool
) -> None:
    """CTP 1.3, AGG-003 and AGG-004: for the others nothing is answered."""
    before = {LIMIT: fleet.default("TFA", 9000)} if with_default else {}
    event = fleet.publish("TFA", 2 * MINUTE, MINUTE, opModMaxLimW=5000)
    fleet.refresh()
    assert of(fleet, UNDER_TFA) == [before] * 2
    fleet.pass_s(2 * MINUTE)
    assert of(fleet, UNDER_TFA) == [{LIMIT: event}] * 2
    fleet.pass_s(MINUTE)
    assert of(fleet, UNDER_TFA) == [before] * 2
    assert fleet.answers(event) == all_of(UNDER_TFA, DONE)


def test_agg_005_two_controls_one_after_the_other(fleet: Followers) -> None:
    """CTP 1.3, AGG-005: twelve Responses, and the default in between."""
    default = fleet.default("TFA", 9000)
    one = fleet.publish("TFA", 2 * MINUTE, MINUTE, opModMaxLimW=5000)
    two = fleet.publish("TFA", 4 * MINUTE, MINUTE, opModMaxLimW=4000)
    fleet.refresh()
    for wait, held in ((2, one), (1, default), (1, two), (1, default)):
        fleet.pass_s(wait * MINUTE)
        assert of(fleet, UNDER_TFA) == [{LIMIT: held}] * 2
    assert fleet.answers(one) == fleet.answers(two) == all_of(UNDER_TFA, DONE)


def test_agg_006_controls_of_two_levels_one_after_the_other(fleet: Followers) -> None:
    """CTP 1.3, AGG-006 as corrected by its errata (sequence 26): all follow the system's."""
    near = fleet.publish("TFA", 2 * MINUTE, MINUTE, opModMaxLimW=5000)
    far = fleet.publish("SY", 4 * MINUTE, MINUTE, opModMaxLimW=4000)
    fleet.refresh()
    for wait in (2, 1, 1, 1):
        fleet.pass_s(wait * MINUTE)
    assert fleet.answers(near) == all_of(UNDER_TFA, DONE)
    assert fleet.answers(far) == all_of((*UNDER_TFA, *UNDER_TFB), DONE)


@pytest.mark.parametrize(
    ("far", "near"), [((2, 2), (3, 1)), ((3, 2), (2, 2))], ids=["agg_007", "agg_008"]
)
def test_agg_007_008_a_nearer_control_that_is_known_ahead_aborts_the_farther_one(
    fleet: Followers, far: tuple[int, int], near: tuple[int, int]
) -> None:
    """CTP 1.3, AGG-007 and AGG-008: 14 by the errata; no return to the aborted one."""
    default = fleet.default("TFA", 9000)
    system = fleet.publish("SY", far[0] * MINUTE, far[1] * MINUTE, opModMaxLimW=4000)
    nearer = fleet.publish("TFA", near[0] * MINUTE, near[1] * MINUTE, opModMaxLimW=5000)
    fleet.refresh()
    for minute in range(1, 7):
        fleet.pass_s(MINUTE)
        runs = near[0] <= minute < sum(near)
        assert of(fleet, UNDER_TFA) == [{LIMIT: nearer if runs else default}] * 2
    assert fleet.answers(nearer) == all_of(UNDER_TFA, DONE)
    assert fleet.answers(system) == all_of(UNDER_TFA, [RECEIVED, OTHER_PROGRAM]) | all_of(
        UNDER_TFB, DONE
    )


def test_agg_009_a_nearer_control_that_comes_up_supersedes_the_running_one(
    fleet: Followers,
) -> None:
    """CTP 1.3, AGG-009: 7, as the system's control had started."""
    default = fleet.default("TFA", 9000)
    system = fleet.publish("SY", MINUTE, 4 * MINUTE, opModMaxLimW=4000)
    fleet.refresh()
    fleet.pass_s(75)
    nearer = fleet.publish("TFA", 45, 2 * MINUTE, opModMaxLimW=5000)
    fleet.refresh()
    assert of(fleet, UNDER_TFA) == [{LIMIT: system}] * 2
    fleet.pass_s(45)
    assert of(fleet, UNDER_TFA) == [{LIMIT: nearer}] * 2
    assert of(fleet, UNDER_TFB) == [{LIMIT: system}] * 2
    fleet.pass_s(2 * MINUTE)
    assert of(fleet, UNDER_TFA) == [{LIMIT: default}] * 2
    fleet.pass_s(MINUTE)
    assert fleet.answers(nearer) == all_of(UNDER_TFA, DONE)
    assert fleet.answers(system) == all_of(UNDER_TFA, [RECEIVED, STARTED, SUPERSEDED]) | all_of(
        UNDER_TFB, DONE
    )


@pytest.mark.parametrize(
    ("far", "near"),
    [((2, 2), (3, 1)), ((3, 2), (2, 2)), ((1, 4), (2, 2))],
    ids=["agg_010", "agg_011", "agg_012"],
)
def test_agg_010_011_012_controls_of_different_kinds_are_followed_side_by_side(
    fleet: Followers, far: tuple[int, int], near: tuple[int, int]
) -> None:
    """CTP 1.3, AGG-010 … AGG-012: neither is superseded, also where one comes up late."""
    late = far[0] < 2  # AGG-012: the nearer one is published while the other runs
    system = fleet.publish("SY", far[0] * MINUTE, far[1] * MINUTE, opModFixedPFInjectW=FACTOR)
    nearer = ""
    for minute in range(7):
        if minute == (1 if late else 0):
            start = (near[0] - minute) * MINUTE
            nearer = fleet.publish("TFA", start, near[1] * MINUTE, opModFixedW=5000)
        fleet.refresh()
        both: dict[str, str] = {}
        if far[0] <= minute < sum(far):
            both[PF] = system
        if near[0] <= minute < sum(near):
            both[W] = nearer
        assert of(fleet, UNDER_TFA) == [both] * 2
        fleet.pass_s(MINUTE)
    assert fleet.answers(nearer) == all_of(UNDER_TFA, DONE)
    assert fleet.answers(system) == all_of((*UNDER_TFA, *UNDER_TFB), DONE)
