"""A device with a new certificate: all that is its own stays so, also over a restart."""

from ems.derms.app import Application
from ems.derms.board import Board
from ems.derms.keeping import MemoryKeeper
from ems.derms.moves import Moves
from ems.derms.settings import ServerSettings
from tests.derms_asked import AGGREGATOR, ALICE, BOB, NAMESPACE, Asked

NEW, NEWER = "C" * 40, "D" * 40
URI = "https://127.0.0.1:9/"
SETS = "/upt/1/mr/1/rs"


def point(lfdi: str) -> str:
    return (
        f'<MirrorUsagePoint xmlns="{NAMESPACE}"><mRID>A1</mRID><roleFlags>49</roleFlags>'
        "<serviceCategoryKind>0</serviceCategoryKind><status>1</status>"
        f"<deviceLFDI>{lfdi}</deviceLFDI><MirrorMeterReading><mRID>B1</mRID>"
        "<ReadingType><uom>38</uom></ReadingType></MirrorMeterReading></MirrorUsagePoint>"
    )


def reading(value: int) -> str:
    return (
        f'<MirrorMeterReading xmlns="{NAMESPACE}"><mRID>B1</mRID>'
        f"<Reading><value>{value}</value></Reading></MirrorMeterReading>"
    )


class Fleet(Asked):
    """Alice, with all that a device may have."""

    def __init__(self, registrant: str = ALICE) -> None:
        super().__init__(ServerSettings())
        self.keeper = MemoryKeeper()
        self.restart()
        self.board.add_program("feeder", primacy=5)
        if registrant != ALICE:
            self.board.add_device("manager", lfdi=registrant)
        manager = None if registrant == ALICE else registrant
        alice = self.board.add_device("alice", lfdi=ALICE, groups=["feeder"], aggregator=manager)
        self.number = alice.number
        self.control = self.publish("feeder", duration=10**6)
        assert self.ask(registrant, "POST", "/mup", point(ALICE)).status == 201
        self.report(registrant, 1)
        self.board.file(ALICE, "status", b"<DERStatus/>", 2)
        self.board.respond(subject=self.control, lfdi=ALICE, status=1, time=None)
        self.board.log(ALICE, "<LogEvent/>")
        self.board.subscribe(self.number, path="/derp/1", uri=URI, limit=1, level="+S1")

    def restart(self) -> None:
        self.board = Board(self.keeper, self.clock)
        self.application = Application(self.board, self.application.settings, own=(ALICE, 1))

    def report(self, lfdi: str, value: int) -> None:
        assert self.ask(lfdi, "POST", "/mup/1", reading(value)).status == 201

    def has_all(self, lfdi: str, values: list[str]) -> None:
        """All of it is found under an LFDI, and nothing under the one before."""
        board = self.board
        href = f"/edev/{self.number}"
        assert self.get(lfdi, "/mup/1").text("deviceLFDI") == lfdi
        assert self.get(lfdi, "/upt/1").text("deviceLFDI") == lfdi
        assert [m.number for m in board.mirrors_of([lfdi])] == [1]
        assert board.latest(lfdi)["B1"].value == float(values[-1])
        assert self.get(lfdi, f"{SETS}?l=9").counts == (len(values), len(values))
        told = [
            self.get(lfdi, f"{SETS}/{n}/r").text("Reading/value") for n in range(1, len(values) + 1)
        ]
        assert told == values
        assert self.get(lfdi, f"{href}/der?l=9").counts == (2, 2)
        filed = board.document(lfdi, "status", 2)
        assert filed is not None
        assert filed.lfdi == lfdi
        assert [r.lfdi for r in board.responses(self.control)] == [lfdi]
        assert [r.status for r in board.responses_of([lfdi])] == [1]
        assert [number for number, _ in board.logs(lfdi)] == [1]
        assert self.get(lfdi, f"{href}/sub").counts == (1, 1)
        for gone in {ALICE, NEW} - {lfdi}:
            assert (board.mirrors_of([gone]), board.latest(gone)) == ((), {})
            assert (board.responses_of([gone]), board.logs(gone)) == ((), ())
            assert board.document(gone, "status", 2) is None


def test_what_a_device_has_goes_with_it_to_its_new_certificate() -> None:
    fleet = Fleet()
    fleet.get(ALICE, SETS)
    fleet.board.change_device("alice", lfdi=NEW)
    fleet.report(NEW, 2)
    fleet.has_all(NEW, ["1", "2"])


def test_it_has_it_still_after_a_restart_and_after_another_certificate() -> None:
    fleet = Fleet()
    fleet.board.change_device("alice", lfdi=NEW)
    fleet.restart()
    fleet.pass_s(1)
    fleet.report(NEW, 2)
    fleet.has_all(NEW, ["1", "2"])
    fleet.board.change_device("alice", lfdi=NEWER)
    fleet.restart()
    fleet.report(NEWER, 3)
    fleet.has_all(NEWER, ["1", "2", "3"])
    assert fleet.board.log(NEWER, "<LogEvent/>") == 2


def test_who_gets_a_certificate_that_was_another_s_gets_nothing_that_was_said_with_it() -> None:
    fleet = Fleet()
    fleet.board.change_device("alice", lfdi=NEW)
    fleet.pass_s(1)
    fleet.board.add_device("other", lfdi=ALICE)
    for _ in ("before a restart", "after it"):
        fleet.restart()
        assert fleet.board.logs(ALICE) == ()
        assert fleet.board.responses_of([ALICE]) == ()
    mirror = point(ALICE).replace("A1", "A2")
    assert fleet.ask(ALICE, "POST", "/mup", mirror).status == 201
    assert fleet.get(ALICE, "/upt/2/mr/1/rs").counts == (0, 0)
    assert fleet.get(NEW, SETS).counts == (1, 1)


def test_an_aggregator_with_a_new_certificate_reports_for_its_devices_still() -> None:
    fleet = Fleet(AGGREGATOR)
    fleet.board.change_device("manager", lfdi=NEW)
    fleet.report(NEW, 2)
    mirror = fleet.board.mirror(1)
    assert mirror is not None
    assert (mirror.lfdi, mirror.owner) == (ALICE, NEW)
    assert fleet.board.latest(ALICE)["B1"].value == 2.0


def test_certificates_that_go_round_end_where_they_were_last() -> None:
    keeper = MemoryKeeper()
    moves = Moves(keeper)
    for old, new, now in ((ALICE, BOB, 10), (BOB, ALICE, 10), (ALICE, NEW, 20), (BOB, NEWER, 30)):
        keeper.keep(moves.add(old, new, now))
    for known in (moves, Moves(keeper)):
        assert [known.holder(ALICE, at) for at in (5, 15, 25)] == [NEW, NEW, ALICE]
        assert [known.holder(BOB, at) for at in (5, 15, 31)] == [NEW, NEWER, BOB]
        assert set(known.before(NEW)) == {NEW, ALICE, BOB}
