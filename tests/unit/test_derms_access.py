"""Who sees what: one's own, those one manages, everything."""

import pytest

from ems.derms.allowance import Allowance, Registrations
from ems.derms.board import Conflict
from ems.derms.settings import ServerSettings
from ems.errors import BadInput
from ems.protocols.ieee2030_5 import identity
from tests.derms_asked import AGGREGATOR, ALICE, BOB, BOSS, NAMESPACE, STRANGER, Asked

OWN = (
    "/edev/1", "/edev/1/reg", "/edev/1/fsa", "/edev/1/fsa/1", "/edev/1/fsa/1/derp",
    "/edev/1/derp", "/edev/1/der", "/edev/1/der/1", "/edev/1/lel", "/edev/1/sub",
    "/derp/2", "/derp/2/derc", "/derp/2/actderc", "/derp/2/dc",
)  # fmt: skip
"""Paths of Alice's, who is device 1 and alone in program 2."""
PUT_LATER = (
    "/edev/1/der/1/dercap", "/edev/1/der/1/derg", "/edev/1/der/1/ders", "/edev/1/der/1/dera",
    "/edev/1/di", "/edev/1/dstat", "/edev/1/cfg", "/edev/1/ps",
)  # fmt: skip
"""Paths of hers at which there is nothing until she puts it."""
MEDIA = "application/sep+xml"


@pytest.fixture
def asked() -> Asked:
    made = Asked()
    made.neighbours()
    return made


@pytest.mark.parametrize("path", OWN)
def test_a_device_reads_its_own(asked: Asked, path: str) -> None:
    assert asked.ask(ALICE, "GET", path).status == 200


@pytest.mark.parametrize("path", [*OWN, *PUT_LATER])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("who", [BOB, STRANGER, AGGREGATOR, None])
def test_nobody_else_reads_or_writes_it(
    asked: Asked, who: str | None, method: str, path: str
) -> None:
    asked.board.add_device("aggregator", lfdi=AGGREGATOR)

    got = asked.ask(who, method, path, b"<x/>", content_type=MEDIA)

    assert got.status in {403, 405}
    if got.status == 405:  # nobody can do it
        assert asked.ask(ALICE, method, path, b"<x/>", content_type=MEDIA).status == 405


def test_whether_another_device_exists_cannot_be_learnt(asked: Asked) -> None:
    assert asked.ask(ALICE, "GET", "/edev/2").status == 403
    assert asked.ask(ALICE, "GET", "/edev/99").status == 403
    assert asked.ask(ALICE, "GET", "/derp/99").status == 403
    assert asked.ask(ALICE, "GET", "/mup/99").status == 403


def test_lists_hold_and_count_only_what_the_peer_may_see(asked: Asked) -> None:
    assert asked.get(ALICE, "/edev?l=9").hrefs("EndDevice") == ["/edev/1"]
    assert asked.get(ALICE, "/edev").counts == (1, 1)
    assert asked.get(BOB, "/edev?l=9").hrefs("EndDevice") == ["/edev/2"]
    assert asked.get(ALICE, "/derp?l=9").hrefs("DERProgram") == ["/derp/2", "/derp/1"]
    assert asked.get(STRANGER, "/edev?l=9").counts == (0, 0)
    assert asked.get(BOSS, "/edev?l=9").counts == (2, 2)


def test_an_aggregator_acts_for_those_it_manages(asked: Asked) -> None:
    asked.board.add_device("aggregator", lfdi=AGGREGATOR)
    asked.board.change_device("alice", aggregator=AGGREGATOR)

    for path in OWN:
        assert asked.ask(AGGREGATOR, "GET", path).status == 200
    assert asked.get(AGGREGATOR, "/edev").counts == (2, 1)
    assert asked.ask(AGGREGATOR, "GET", "/edev/2").status == 403
    assert asked.ask(AGGREGATOR, "GET", "/derp/3").status == 403
    # Still its own as well.
    assert asked.ask(ALICE, "GET", "/edev/1").status == 200
    asked.board.change_device("alice", aggregator=None)
    assert asked.ask(AGGREGATOR, "GET", "/edev/1").status == 403
    assert asked.ask(AGGREGATOR, "GET", "/derp/2").status == 403


def test_a_device_that_leaves_a_program_sees_it_no_more(asked: Asked) -> None:
    assert asked.ask(ALICE, "GET", "/derp/2/derc").status == 200
    asked.board.change_device("alice", groups=("both",))
    assert asked.ask(ALICE, "GET", "/derp/2/derc").status == 403
    assert asked.get(ALICE, "/edev/1/derp?l=9").hrefs("DERProgram") == ["/derp/1"]


def test_an_administrator_reads_everything_and_finds_nothing_where_nothing_is(
    asked: Asked,
) -> None:
    for path in OWN:
        assert asked.ask(BOSS, "GET", path).status == 200
    assert asked.ask(BOSS, "GET", "/edev/99").status == 404
    assert asked.ask(BOSS, "GET", "/derp/99").status == 404


def test_a_disabled_device_is_refused(asked: Asked) -> None:
    asked.board.change_device("alice", enabled=False)

    assert asked.ask(ALICE, "GET", "/dcap").status == 403
    assert asked.ask(ALICE, "GET", "/edev/1").status == 403


def test_a_curve_is_seen_by_those_whose_program_has_it(asked: Asked) -> None:
    asked.board.add_curve("droop", type=11, points=((0, 0), (1, 1)))
    asked.board.change_program("alices", curves=["droop"])

    assert asked.get(ALICE, "/dc").counts == (1, 1)
    assert asked.get(BOB, "/dc").counts == (0, 0)
    assert asked.ask(ALICE, "GET", "/dc/1").status == 200
    assert asked.ask(BOB, "GET", "/dc/1").status == 404


def test_nobody_responds_for_another_or_to_anothers_event(asked: Asked) -> None:
    mine, other = asked.publish("alices"), asked.publish("bobs")

    assert _respond(asked, ALICE, ALICE, mine) == 201
    assert _respond(asked, ALICE, BOB, mine) == 403
    assert _respond(asked, ALICE, ALICE, other) == 403
    assert _respond(asked, ALICE, ALICE, "ABCD") == 400
    assert [said.status for said in asked.board.responses(mine)] == [1]
    assert asked.board.responses(other) == ()
    assert asked.get(BOB, "/rsps/1/r").counts == (0, 0)


def test_who_answered_to_an_event_says_how_it_ended_when_it_is_taken_away(asked: Asked) -> None:
    answered, unheard = asked.publish("alices"), asked.publish("alices")
    assert _respond(asked, ALICE, ALICE, answered) == 201
    asked.board.change_device("alice", groups=())

    assert _respond(asked, ALICE, ALICE, answered, status=6) == 201
    assert _respond(asked, ALICE, ALICE, unheard, status=6) == 403
    assert _respond(asked, BOB, BOB, answered, status=6) == 403
    assert [said.status for said in asked.board.responses(answered)] == [1, 6]


def _respond(asked: Asked, who: str, lfdi: str, subject: str, *, status: int = 1) -> int:
    body = (
        f'<DERControlResponse xmlns="{NAMESPACE}"><createdDateTime>1</createdDateTime>'
        f"<endDeviceLFDI>{lfdi}</endDeviceLFDI><status>{status}</status>"
        f"<subject>{subject}</subject></DERControlResponse>"
    )
    return asked.ask(who, "POST", "/rsps/1/r", body, content_type=MEDIA).status


def _end_device(lfdi: str, sfdi: int | None = None) -> str:
    return (
        f'<EndDevice xmlns="{NAMESPACE}"><lFDI>{lfdi}</lFDI>'
        f"<sFDI>{identity.sfdi_of(lfdi) if sfdi is None else sfdi}</sFDI>"
        "<changedTime>1</changedTime></EndDevice>"
    )


def _register(asked: Asked, who: str, body: str) -> tuple[int, str]:
    got = asked.ask(who, "POST", "/edev", body, content_type=MEDIA)
    return got.status, got.headers.get("location", "")


def test_out_of_band_means_that_nobody_registers_in_band(asked: Asked) -> None:
    assert _register(asked, STRANGER, _end_device(STRANGER)) == (403, "")
    assert len(asked.board.devices()) == 2


def test_a_device_registers_itself_once_where_that_is_open() -> None:
    asked = Asked(ServerSettings(registration="open"))

    assert _register(asked, ALICE, _end_device(ALICE)) == (201, "/edev/1")
    assert _register(asked, ALICE, _end_device(ALICE)) == (204, "/edev/1")
    assert len(asked.board.devices()) == 1
    assert _register(asked, ALICE, _end_device(BOB))[0] == 403
    assert _register(asked, BOB, _end_device(BOB, 12))[0] == 400
    assert asked.ask(ALICE, "DELETE", "/edev/1").status == 204
    assert asked.board.devices() == ()


def test_an_aggregator_registers_those_it_acts_for() -> None:
    asked = Asked(ServerSettings(registration="open", aggregators=frozenset({AGGREGATOR})))

    assert _register(asked, AGGREGATOR, _end_device(ALICE))[0] == 403  # who is it?
    assert _register(asked, AGGREGATOR, _end_device(AGGREGATOR)) == (201, "/edev/1")
    assert _register(asked, AGGREGATOR, _end_device(ALICE)) == (201, "/edev/2")
    assert asked.board.device_by_number(2).aggregator == AGGREGATOR  # type: ignore[union-attr]


def _why(asked: Asked, who: str, lfdi: str) -> str:
    """Why it may not register that one."""
    assert _register(asked, who, _end_device(lfdi))[0] == 403
    assert asked.application.refusals.last[-1].who == who
    return asked.application.refusals.last[-1].why


def test_an_aggregator_registers_of_those_listed_only_its_own() -> None:
    listed = {
        ALICE: {"name": "alice", "aggregator": AGGREGATOR},
        BOB: {"name": "bob", "aggregator": STRANGER},
        BOSS: {"name": "boss"},
    }
    settings = ServerSettings(
        registration="listed", listed=listed, aggregators=frozenset({AGGREGATOR, STRANGER})
    )
    asked = Asked(settings)
    for name, lfdi in (("aggregator", AGGREGATOR), ("stranger", STRANGER)):
        asked.board.add_device(name, lfdi=lfdi)

    assert _register(asked, AGGREGATOR, _end_device(ALICE))[0] == 201
    assert "aggregator of that device" in _why(asked, AGGREGATOR, BOB)
    assert "aggregator of that device" in _why(asked, AGGREGATOR, BOSS)
    assert "cannot register" in _why(asked, STRANGER, ALICE)
    assert _register(asked, BOSS, _end_device(BOSS))[0] == 201
    assert asked.board.device("boss").aggregator is None
    assert asked.application.refusals.counts["403"] == 3


def test_where_registration_is_open_only_aggregators_of_the_file_register_others() -> None:
    settings = ServerSettings(registration="open", aggregators=frozenset({AGGREGATOR}))
    asked = Asked(settings)
    asked.board.add_device("stranger", lfdi=STRANGER)
    asked.board.add_device("alice", lfdi=ALICE, aggregator=STRANGER)

    assert "not registered itself" in _why(asked, AGGREGATOR, BOB)
    assert "as an aggregator" in _why(asked, STRANGER, BOB)
    assert asked.board.device_by_lfdi(BOB) is None
    assert _register(asked, BOB, _end_device(BOB))[0] == 201


def test_an_aggregator_cannot_be_removed_while_it_has_devices(asked: Asked) -> None:
    asked.board.add_device("aggregator", lfdi=AGGREGATOR)
    asked.board.change_device("alice", aggregator=AGGREGATOR)

    with pytest.raises(Conflict, match="alice"):
        asked.board.remove_device("aggregator")
    asked.board.change_device("alice", aggregator=None)
    asked.board.remove_device("aggregator")


@pytest.mark.parametrize("gone", ["never registered", "disabled"])
def test_who_is_named_as_aggregator_and_is_no_device_has_no_rights(asked: Asked, gone: str) -> None:
    if gone == "disabled":
        asked.board.add_device("aggregator", lfdi=AGGREGATOR, enabled=False)
    asked.board.change_device("alice", aggregator=AGGREGATOR)

    for path in OWN:
        assert asked.ask(AGGREGATOR, "GET", path).status == 403, path
    listed = asked.ask(AGGREGATOR, "GET", "/edev?l=9")
    assert listed.status == 403 or listed.counts == (0, 0)
    for path in ("/mup", "/upt", "/derp", "/rsps/1/r"):
        assert asked.ask(AGGREGATOR, "GET", path).status == 403, path


def test_an_aggregator_with_a_new_certificate_keeps_its_devices(asked: Asked) -> None:
    asked.board.add_device("aggregator", lfdi=AGGREGATOR)
    asked.board.change_device("alice", aggregator=AGGREGATOR)

    asked.board.change_device("aggregator", lfdi=STRANGER, sfdi=identity.sfdi_of(STRANGER))

    assert asked.board.device("alice").aggregator == STRANGER
    assert asked.ask(STRANGER, "GET", "/edev/1").status == 200
    assert asked.ask(AGGREGATOR, "GET", "/edev/1").status == 403


@pytest.mark.parametrize(
    ("changes", "why"), [({"lfdi": "0" * 40}, "zeros"), ({"aggregator": ALICE}, "manage itself")]
)
def test_a_device_is_somebody_and_not_its_own_aggregator(
    asked: Asked, changes: dict[str, str], why: str
) -> None:
    with pytest.raises(BadInput, match=why):
        asked.board.change_device("alice", **changes)


def test_those_who_are_listed_register_as_what_they_are_listed() -> None:
    listed = {ALICE: {"name": "alice", "pin": 111115}}
    asked = Asked(ServerSettings(registration="listed", listed=listed))

    assert _register(asked, BOB, _end_device(BOB))[0] == 403
    assert _register(asked, ALICE, _end_device(ALICE))[0] == 201
    assert asked.board.device("alice").pin == 111115


# ---- how often


def _registering(each: int, together: int) -> Asked:
    return Asked(
        ServerSettings(
            registration="open",
            registrations_each_per_minute=each,
            registrations_per_minute=together,
        )
    )


def _attempt(asked: Asked, who: str, body: str) -> tuple[int, str]:
    got = asked.ask(who, "POST", "/edev", body)
    return got.status, got.headers.get("retry-after", "")


def test_who_registers_too_often_is_told_when_to_come_again_and_others_are_not_held_up() -> None:
    asked = _registering(each=2, together=100)
    nonsense = _end_device(BOB)
    assert [_attempt(asked, ALICE, nonsense) for _ in range(3)] == [
        (403, ""), (403, ""), (429, "30"),
    ]  # fmt: skip
    assert _attempt(asked, BOB, _end_device(BOB)) == (201, "")
    asked.pass_s(29)
    assert _attempt(asked, ALICE, _end_device(ALICE)) == (429, "1")
    asked.pass_s(1)
    assert _attempt(asked, ALICE, _end_device(ALICE)) == (201, "")
    assert asked.application.refusals.counts["429"] == 2
    assert asked.application.refusals.last[-1].who == ALICE


def test_more_registrations_than_the_server_takes_in_all_are_answered_with_503() -> None:
    asked = _registering(each=100, together=2)
    lfdis = [f"{n:040X}" for n in range(1, 4)]
    told = [_attempt(asked, lfdi, _end_device(lfdi)) for lfdi in lfdis]
    assert told == [(201, ""), (201, ""), (503, "30")]
    asked.pass_s(30)
    assert _attempt(asked, lfdis[2], _end_device(lfdis[2])) == (201, "")
    assert asked.application.refusals.counts["503"] == 1


def test_a_device_that_is_registered_may_say_so_as_often_as_it_likes() -> None:
    asked = _registering(each=1, together=100)
    assert _attempt(asked, ALICE, _end_device(ALICE)) == (201, "")
    assert [_attempt(asked, ALICE, _end_device(ALICE))[0] for _ in range(5)] == [204] * 5


def test_a_clock_that_is_set_back_gives_nobody_more() -> None:
    one = Allowance(1)
    assert one.wait_s(1000) == 0
    one.take()
    assert [one.wait_s(now) for now in (1000, 500, 1001)] == [60, 60, 59]


def test_certificates_that_were_quiet_are_not_remembered_for_ever() -> None:
    registrations = Registrations(each=1, together=10**6)
    for n in range(20_000):
        assert registrations.take(f"{n:X}", now=n) == (0, 0)
    assert len(registrations._of) <= 10_001
    assert registrations.take("4E1F", now=20_000)[0] > 0
