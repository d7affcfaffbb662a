"""What a subscriber takes, what it ignores, and how long it believes it."""

from dataclasses import replace

import pytest

from ems.protocols.goose import (
    Accepted,
    Boolean,
    Float32,
    Frame,
    Ignored,
    Publisher,
    Reason,
    Standing,
    Subscription,
    encode,
)
from tests.goose_frames import CONTROL, ELSEWHERE, HERE, START, frame, saying, values


@pytest.fixture
def subscription() -> Subscription:
    return Subscription(CONTROL)


def taken(subscription: Subscription, found: Frame, now: float) -> Accepted:
    answer = subscription.receive(found, now)
    assert isinstance(answer, Accepted), answer
    return answer


def refused(subscription: Subscription, found: bytes | Frame, now: float) -> Reason:
    answer = subscription.receive(found, now)
    assert isinstance(answer, Ignored), answer
    return answer.reason


def test_there_are_no_values_before_the_first_frame(subscription: Subscription) -> None:
    assert subscription.values(0.0) is None
    assert subscription.standing(0.0) is Standing.SILENT
    assert subscription.next_change(0.0) is None


def test_a_publisher_is_followed(subscription: Subscription) -> None:
    publisher = Publisher(CONTROL, HERE)
    now = 0.0
    for kw in (1.0, 2.0, 2.0, 3.0):
        octets = publisher.publish(values(kw), now, START)
        for _ in range(12):
            if octets is not None:
                assert isinstance(subscription.receive(octets, now), Accepted)
            assert subscription.values(now) == values(kw)
            now = publisher.next_due or now
            octets = publisher.due(now)
    assert subscription.lost == 0
    assert not subscription.ignored


def test_values_run_out_with_the_time_allowed_to_live(subscription: Subscription) -> None:
    answer = taken(subscription, frame(), 10.0)
    assert answer.expires == subscription.next_change(10.0) == 12.0
    assert subscription.values(11.999) == values(1.0)
    assert subscription.values(12.0) is None
    assert subscription.standing(12.0) is Standing.SILENT


def test_no_frame_holds_values_for_longer_than_ten_of_the_longest_delays(
    subscription: Subscription,
) -> None:
    found = saying(frame(), time_allowed_to_live_ms=0xFFFF_FFFF)
    assert taken(subscription, found, 0.0).expires == 10.0


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (saying(frame(), gocb_ref="PV2LD0/LLN0$GO$gcb1"), Reason.OTHER_CONTROL_BLOCK),
        (replace(frame(), dst=bytes.fromhex("010ccd010002")), Reason.OTHER_ADDRESS),
        (replace(frame(), appid=2), Reason.OTHER_APPID),
        (saying(frame(), dat_set="PV1LD0/LLN0$other"), Reason.OTHER_DATA_SET),
        (saying(frame(), go_id="other"), Reason.OTHER_GO_ID),
        (saying(frame(), conf_rev=8), Reason.OTHER_REVISION),
        (saying(frame(), nds_com=True), Reason.NEEDS_COMMISSIONING),
        (saying(frame(), all_data=values()[:-1]), Reason.OTHER_ENTRIES),
        (saying(frame(), all_data=(*values(), Boolean(True))), Reason.OTHER_ENTRIES),
        (saying(frame(), all_data=(Boolean(True), *values()[1:])), Reason.OTHER_ENTRIES),
        (saying(frame(), simulation=True), Reason.SIMULATED),
        (saying(frame(), time_allowed_to_live_ms=0), Reason.NO_LIFE),
        (saying(frame(), st_num=0), Reason.NO_STATE),
        (encode(frame())[:-1], Reason.MALFORMED),
    ],
    ids=lambda v: v.name if isinstance(v, Reason) else "",
)
def test_what_does_not_fit_is_ignored_and_counted(
    subscription: Subscription, found: bytes | Frame, reason: Reason
) -> None:
    taken(subscription, frame(), 0.0)
    assert refused(subscription, found, 1.0) is reason
    assert subscription.ignored == {reason: 1}
    assert subscription.values(1.9) == values(1.0)
    assert subscription.values(2.0) is None, "an ignored frame prolongs nothing"


def test_what_a_switch_may_change_is_no_reason(subscription: Subscription) -> None:
    taken(subscription, replace(frame(), vlan_id=None, vlan_priority=0), 0.0)
    taken(subscription, saying(frame(sq_num=1), go_id=None), 0.1)


def test_lost_frames_are_counted(subscription: Subscription) -> None:
    taken(subscription, frame(1, 0), 0.0)
    assert taken(subscription, frame(1, 3), 0.1).lost == 2
    assert taken(subscription, frame(2, 0), 0.2).lost == 0, "only repetitions may be missing"
    assert taken(subscription, frame(5, 1), 0.3).lost == 3
    assert subscription.lost == 5
    assert subscription.values(0.4) == values(5.0)


def test_a_frame_that_comes_twice_counts_once(subscription: Subscription) -> None:
    taken(subscription, frame(1, 0), 0.0)
    assert refused(subscription, frame(1, 0), 1.0) is Reason.DUPLICATE
    assert subscription.values(2.0) is None


def test_a_frame_overtaken_by_later_ones_changes_nothing(subscription: Subscription) -> None:
    taken(subscription, frame(1, 0), 0.0)
    taken(subscription, frame(2, 1), 0.1)
    assert refused(subscription, frame(2, 0), 0.11) is Reason.REORDERED
    assert refused(subscription, frame(1, 1), 0.12) is Reason.REORDERED
    taken(subscription, frame(3, 0), 0.2)
    assert subscription.values(0.3) == values(3.0)
    assert subscription.standing(0.3) is Standing.GOOD


@pytest.mark.parametrize("order", [(0, 2, 1, 4, 3), (4, 0, 1, 2, 3), (0, 4, 3, 2, 1)])
def test_in_whatever_order_frames_come_the_newest_state_holds(
    subscription: Subscription, order: tuple[int, ...]
) -> None:
    states = [frame(7, 0), frame(7, 1), frame(8, 0), frame(9, 0), frame(9, 1)]
    taken(subscription, frame(6, 9), 0.0)
    for i, which in enumerate(order):
        subscription.receive(states[which], 0.01 * i)
        assert subscription.standing(0.01 * i) is Standing.GOOD
    assert subscription.values(0.1) == values(9.0)


def test_a_single_old_frame_is_a_stray(subscription: Subscription) -> None:
    taken(subscription, frame(5, 5), 0.0)
    assert refused(subscription, frame(3, 7), 0.5) is Reason.OLD
    taken(subscription, frame(5, 6), 1.0)
    assert subscription.values(1.1) == values(5.0)


def test_both_counters_may_roll_over(subscription: Subscription) -> None:
    last = 0xFFFF_FFFF
    taken(subscription, frame(last, last - 1, t_s=0), 0.0)
    assert taken(subscription, frame(last, last, t_s=0), 0.1).lost == 0
    assert taken(subscription, frame(last, 1, t_s=0), 0.2).lost == 0
    answer = taken(subscription, frame(1, 0, t_s=9), 0.3)
    assert answer.changed
    assert not answer.restarted
    assert answer.lost == 0
    assert refused(subscription, frame(last, 2, t_s=0), 0.31) is Reason.REORDERED
    assert subscription.values(0.4) == values(1.0)


@pytest.mark.parametrize("before", [(40, 7), (1, 500)])
def test_a_publisher_that_starts_again_is_followed(
    subscription: Subscription, before: tuple[int, int]
) -> None:
    taken(subscription, frame(*before, t_s=40), 0.0)
    answer = taken(subscription, frame(1, 0, t_s=60, p_kw=7.0), 0.5)
    assert answer.restarted
    assert answer.changed
    assert subscription.restarts == 1
    assert subscription.values(0.6) == values(7.0)
    taken(subscription, frame(1, 1, t_s=60, p_kw=7.0), 0.7)


def test_a_publisher_that_starts_again_without_a_clock_is_followed_once_silence_is_over(
    subscription: Subscription,
) -> None:
    taken(subscription, frame(40, 7), 0.0)
    assert refused(subscription, frame(1, 0, t_s=-1e9), 1.0) is Reason.OLD
    assert subscription.values(2.5) is None
    taken(subscription, frame(1, 9, t_s=-1e9), 3.5)


def test_two_addresses_that_publish_one_control_block_are_both_distrusted(
    subscription: Subscription,
) -> None:
    taken(subscription, frame(5, 5), 0.0)
    assert refused(subscription, frame(9, 0, src=ELSEWHERE), 0.5) is Reason.TWO_PUBLISHERS
    assert subscription.values(0.5) is None
    assert subscription.standing(0.5) is Standing.SUSPICIOUS
    for i in range(1, 9):
        assert refused(subscription, frame(5, 5 + i), 0.5 + i) is Reason.TWO_PUBLISHERS
        assert refused(subscription, frame(9, i, src=ELSEWHERE), 0.9 + i) is Reason.TWO_PUBLISHERS
        assert subscription.values(0.9 + i) is None


def test_when_one_of_two_publishers_falls_silent_the_other_is_believed(
    subscription: Subscription,
) -> None:
    taken(subscription, frame(5, 5), 0.0)
    refused(subscription, frame(9, 0, src=ELSEWHERE), 0.5)
    refused(subscription, frame(5, 6), 1.0)
    refused(subscription, frame(5, 7), 2.0)
    assert subscription.next_change(2.0) == 2.5
    assert subscription.values(2.4) is None
    assert subscription.values(2.5) == values(5.0)
    taken(subscription, frame(5, 8), 3.0)


def test_a_copied_device_is_noticed_although_its_address_is_the_same(
    subscription: Subscription,
) -> None:
    taken(subscription, frame(10, 5), 0.0)
    assert refused(subscription, frame(3, 7), 0.4) is Reason.OLD
    taken(subscription, frame(10, 6), 1.0)
    assert refused(subscription, frame(3, 8), 1.4) is Reason.TWO_PUBLISHERS
    assert subscription.values(1.4) is None
    assert refused(subscription, frame(10, 7), 2.0) is Reason.TWO_PUBLISHERS


@pytest.mark.parametrize(
    "other",
    [
        frame(10, 6, p_kw=99.0),  # other values in one state
        frame(10, 6, t_s=11.0),  # another time in one state
        frame(10, 5, p_kw=99.0),
        frame(11, 0, t_s=1.0),  # a later state from an earlier time
        frame(4, 900, t_s=50.0),  # an earlier state from a later time
    ],
)
def test_what_contradicts_makes_the_values_invalid_at_once(
    subscription: Subscription, other: Frame
) -> None:
    taken(subscription, frame(10, 5), 0.0)
    assert refused(subscription, other, 0.5) is Reason.TWO_PUBLISHERS
    assert subscription.values(0.5) is None
    assert subscription.values(2.0) is not None, "the first fell silent, the second has spoken"


def test_more_than_two_publishers_change_nothing(subscription: Subscription) -> None:
    for i in range(40):
        source = bytes((2, 0, 0, 0, 1, i))
        subscription.receive(frame(5, i, src=source), 0.01 * i)
        assert (subscription.values(0.01 * i) is None) is (i > 0)
    assert subscription.ignored[Reason.TWO_PUBLISHERS] == 39


def test_simulated_frames_are_taken_if_asked_and_then_no_others() -> None:
    subscription = Subscription(CONTROL, accept_simulated=True)
    taken(subscription, frame(5, 0), 0.0)
    simulated = replace(saying(frame(1, 0, p_kw=-1.0), simulation=True), simulation=True)
    taken(subscription, simulated, 0.1)
    assert refused(subscription, frame(5, 1), 0.2) is Reason.NOT_SIMULATED
    assert subscription.values(0.3) == values(-1.0)


def test_what_is_not_a_number_repeats_as_itself(subscription: Subscription) -> None:
    nan = float("nan")
    taken(subscription, frame(1, 0, p_kw=nan), 0.0)
    taken(subscription, frame(1, 1, p_kw=nan), 0.1)
    held = subscription.values(0.2)
    assert held is not None
    assert held[0] == Float32(nan)
