"""One publisher over a bad network: frames are lost, come twice, overtake each other."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from ems.protocols.goose import Accepted, Publisher, Standing, Subscription, decode
from tests.goose_frames import CONTROL, HERE, START, values

FATES = st.sampled_from(("comes", "comes", "comes", "lost", "twice", "late", "later"))
STEPS = st.lists(st.tuples(st.booleans(), FATES), min_size=1, max_size=80)
LATE_S = {"late": 0.01, "later": 0.19}
"""How long a frame is on its way [s]."""


@given(STEPS, st.sampled_from((0, 0xFFFF_FFF0)), st.sampled_from((0, 0xFFFF_FFF0)))
def test_one_publisher_is_never_taken_for_two_and_no_state_comes_back(
    steps: list[tuple[bool, str]], first_state: int, first_number: int
) -> None:
    publisher = Publisher(CONTROL, HERE)
    publisher.resume(first_state)
    subscription = Subscription(CONTROL)
    waiting: list[tuple[float, bytes]] = []
    published: dict[int, float] = {}
    now, newest, started = 0.0, -1, False
    order = {(first_state + k) % 0xFFFF_FFFF or 0xFFFF_FFFF: k for k in range(1, 200)}
    for i, (changes, fate) in enumerate(steps):
        if changes or not started:
            now += 0.003
            octets = publisher.publish(values(float(i)), now, START + timedelta(seconds=i))
            published[publisher.state[0]] = float(i)
            if not started and first_number:
                publisher.resume(publisher.state[0], first_number)
                octets = publisher.due(now + 1.0)
            started = True
        else:
            now = publisher.next_due or now
            octets = publisher.due(now)
        assert octets is not None
        arriving = sorted((due, found) for due, found in waiting if due <= now)
        waiting = [(due, found) for due, found in waiting if due > now]
        if fate in LATE_S:
            waiting.append((now + LATE_S[fate], octets))
        elif fate != "lost":
            arriving += [(now, octets)] * (2 if fate == "twice" else 1)
        for when, found in arriving:
            answer = subscription.receive(found, when)
            assert subscription.standing(when) is not Standing.SUSPICIOUS
            if isinstance(answer, Accepted):
                state = answer.message.st_num
                assert order[state] >= newest
                newest = order[state]
                assert not answer.restarted
                assert answer.message.all_data == values(published[state])
        held = subscription.message(now)
        if held is not None:
            assert held.all_data == values(published[held.st_num])
    octets = publisher.due(now + 10.0)  # all is quiet, and the last state is repeated
    assert octets is not None
    subscription.receive(octets, now + 10.0)
    assert subscription.values(now + 10.0) == decode(octets).message.all_data
