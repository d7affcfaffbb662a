"""The dispatch's own programs: nobody else makes, changes, assigns or removes one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ems.clock import SteppedClock
from ems.derms.board import Board
from ems.derms.gridappsd import imported
from ems.derms.link import DispatchLink
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings
from ems.errors import BadInput
from ems.protocols.ieee2030_5 import sep
from ems.settings.ieee2030_5.file import load_server
from tests.derms_admin import Administered

LFDI, OTHER = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5", "A" * 40
OWN = 'is kept for the dispatch\'s own programs; let it not begin with "dispatch-"'
HALF = sep.DERControlBase(opModMaxLimW=5000)


@pytest.fixture
def world() -> Administered:
    """The device of one DER, `pv`, which the dispatch commands, and a device besides."""
    board = Board(clock=SteppedClock(datetime(2026, 7, 1, 12, tzinfo=UTC)))
    board.add_program("feeder", primacy=5)
    board.add_device("roof", lfdi=LFDI, groups=("feeder",))
    board.add_device("shed", lfdi=OTHER, groups=("feeder",))
    server = DermsServer(ServerSettings(trusted_proxy_header="x-lfdi"), board)
    DispatchLink(server, board, {"pv": "roof"}).publish({"pv": HALF}, {"pv": 300})
    return Administered(board)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"primacy": 9}),
        ("PUT", "/default", {"base": {"max_lim_w_pct": 10}}),
        ("DELETE", "/default", None),
        ("POST", "/controls", {"duration_s": 60, "base": {"max_lim_w_pct": 10}}),
        ("POST", "/controls/{mrid}/cancel", {}),
        ("DELETE", "", None),
    ],
)
def test_an_administrator_changes_nothing_in_a_program_of_the_dispatch(
    world: Administered, method: str, path: str, body: object
) -> None:
    [control] = world.board.controls("dispatch-pv")
    before = world.board.program("dispatch-pv"), control
    at = f"/programs/dispatch-pv{path.format(mrid=control.mrid)}"
    [fault] = world.ask(method, at, body).faults
    assert fault.startswith("programs/dispatch-pv: is the dispatch's own")
    [now] = world.board.controls("dispatch-pv")
    assert (world.board.program("dispatch-pv"), now) == before
    assert list(world.board.audit.entries()) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/programs", {"name": "dispatch-bes"}),
        ("/groups", {"name": "dispatch-bes", "programs": ["feeder"]}),
    ],
)
def test_an_administrator_takes_no_name_of_the_dispatch(
    world: Administered, path: str, body: object
) -> None:
    assert world.ask("POST", path, body).faults == [f'name: "dispatch-bes" {OWN}']


@pytest.mark.parametrize(
    ("method", "path", "body", "key"),
    [
        ("PATCH", "/devices/shed", {"groups": ["dispatch-pv"]}, "groups"),
        ("POST", "/devices", {"name": "b", "lfdi": "B" * 40, "groups": ["dispatch-pv"]}, "groups"),
        ("POST", "/groups", {"name": "g", "programs": ["dispatch-pv"]}, "programs"),
    ],
)
def test_a_program_of_the_dispatch_is_assigned_to_its_own_device_alone(
    world: Administered, method: str, path: str, body: object, key: str
) -> None:
    [fault] = world.ask(method, path, body).faults
    assert fault.startswith(f'{key}: "dispatch-pv" is the dispatch\'s own, for one device')


def test_what_a_device_is_shown_with_can_be_written_back(world: Administered) -> None:
    shown = world.ask("GET", "/devices/roof").json["groups"]
    assert shown == ["feeder", "dispatch-pv"]
    assert world.ask("PATCH", "/devices/roof", {"groups": shown}).status == 200


def test_what_is_left_of_a_der_that_the_site_no_longer_has_can_be_removed(
    world: Administered,
) -> None:
    [control] = world.board.controls("dispatch-pv")
    world.board.cancel("dispatch-pv", control.mrid)
    world.board.dispatched = frozenset()
    assert world.ask("DELETE", "/programs/dispatch-pv").status == 204
    assert world.board.device("roof").groups == ("feeder",)


def test_the_file_names_no_program_or_group_like_the_dispatch_s(tmp_path: Path) -> None:
    file = tmp_path / "derms.toml"
    file.write_text(
        '[ieee2030_5]\ncert_file = "s.pem"\nkey_file = "s.key"\nca_file = "r.pem"\n'
        '[[ieee2030_5.program]]\nname = "dispatch-pv"\n'
        '[[ieee2030_5.program]]\nname = "feeder"\n'
        '[[ieee2030_5.group]]\nname = "dispatch-all"\nprograms = ["feeder"]\n'
    )
    with pytest.raises(BadInput) as told:
        load_server(file, {})
    assert sorted(map(str, told.value.faults)) == [
        f'derms.toml: ieee2030_5.group[0].name: "dispatch-all" {OWN}',
        f'derms.toml: ieee2030_5.program[0].name: "dispatch-pv" {OWN}',
    ]


def test_an_imported_program_gets_another_name_and_that_is_told() -> None:
    made = imported("programs:\n- description: dispatch-pv\n  primacy: 2\n", "x.yml")
    assert made.document["ieee2030_5"]["program"][0]["name"] == "program-dispatch-pv"
    assert any(
        '"dispatch-pv" is called "program-dispatch-pv" here' in str(f) for f in made.findings
    )
