"""What a server's file declares, laid over what its database kept."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.cli.outcome import Exit
from ems.clock import SteppedClock
from ems.derms.assembled import checked, settings_of
from ems.derms.board import Board
from ems.derms.certificates import Pki, make_pki
from ems.derms.declared import declare, known_devices
from ems.derms.keeping import MemoryKeeper
from ems.errors import BadInput
from ems.protocols.ieee2030_5 import sep
from ems.settings.ieee2030_5.file import ServerFile, load_server
from tests.derms_process import write_file

ONE, TWO = "A" * 40, "B" * 40
HEAD = '[ieee2030_5]\ncert_file = "s"\nkey_file = "k"\nca_file = "c"\n'
FEEDER = """
[[ieee2030_5.program]]
name = "feeder"
primacy = 5
default = { max_lim_w_pct = 90, volt_var = "vv" }

[[ieee2030_5.program.control]]
start_in_s = 60
duration_s = 600
base = { max_lim_w_pct = 50 }

[[ieee2030_5.curve]]
name = "vv"
type = "volt_var"
points = [[92, 44], [98, 0]]

[[ieee2030_5.device]]
name = "one"
lfdi = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
pin = 111115
groups = ["feeder"]
der = [{ rated_kw = 5, modes = ["max_lim_w"] }]
"""
START = datetime(2026, 6, 1, tzinfo=UTC)
Declared = Callable[[str], Board]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(START)


@pytest.fixture
def start(tmp_path: Path, clock: SteppedClock) -> Declared:
    """A server started with a file, over what the one before it kept."""
    keeper = MemoryKeeper()

    def started(text: str) -> Board:
        board = Board(keeper, clock)
        read = file(tmp_path, text)
        declare(read, known_devices(read), board)
        return board

    return started


def file(folder: Path, text: str) -> ServerFile:
    path = folder / "derms.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return load_server(path, {})


def test_everything_a_file_declares_is_served(start: Declared) -> None:
    board = start(FEEDER)
    one = board.device("one")
    assert (one.lfdi, one.pin, one.groups) == (ONE, 111115, ("feeder",))
    program = board.program("feeder")
    assert (program.primacy, program.curves) == (5, ("vv",))
    assert program.default is not None
    assert program.default.DERControlBase_.opModMaxLimW == 9000
    [control] = board.controls("feeder")
    assert control.start == int(START.timestamp()) + 60
    assert control.base.opModMaxLimW == 5000
    capability = board.filed(ONE, "capability")
    assert capability is not None
    assert capability[0].href == "/edev/1/der/1/dercap"


def test_settings_of_a_default_are_served_though_it_asks_for_nothing(start: Declared) -> None:
    program = '[[ieee2030_5.program]]\nname = "feeder"\n'
    service = "enter_service = { delay_s = 300, high_hz = 60.1 }\n"
    default = start(f"{program}set_grad_w_pct_per_s = 2\n{service}").program("feeder").default
    assert default is not None
    assert (default.setGradW, default.setESDelay, default.setESHighFreq) == (200, 30000, 6010)
    assert default.DERControlBase_ == sep.DERControlBase()


def test_a_restart_with_the_same_file_changes_nothing_and_publishes_nothing_again(
    start: Declared, clock: SteppedClock
) -> None:
    before = start(FEEDER)
    clock.move_to(START + timedelta(seconds=30))
    after = start(FEEDER)
    assert after.devices() == before.devices()
    assert after.programs() == before.programs()
    assert after.curves() == before.curves()
    assert after.controls("feeder") == before.controls("feeder")


def test_an_event_that_has_ended_and_was_forgotten_is_not_published_again(
    start: Declared, clock: SteppedClock
) -> None:
    start(FEEDER)
    clock.move_to(START + timedelta(days=1))
    board = start(FEEDER)
    board.prune(board.now())
    assert start(FEEDER).controls("feeder") == ()


def test_the_file_wins_in_what_it_names_and_leaves_the_rest_as_it_was_administered(
    start: Declared,
) -> None:
    board = start(FEEDER)
    board.add_device("two", lfdi=TWO, groups=["feeder"])
    board.add_program("dispatch-one", primacy=0)
    board.change_device("one", groups=["dispatch-one"], pin=None)
    board.change_program("feeder", primacy=9)
    board.set_rates(poll_s=17)
    again = start(FEEDER)
    assert again.device("one").groups == ("feeder", "dispatch-one")
    assert again.device("one").pin == 111115
    assert again.device("two").groups == ("feeder",)
    assert again.program("feeder").primacy == 5
    assert again.rates.poll_s == 17
    assert start(f"poll_rate_s = 30\n{FEEDER}").rates.poll_s == 30


def test_what_a_device_put_about_itself_is_not_overwritten_by_the_file(start: Declared) -> None:
    board = start(FEEDER)
    board.file(ONE, "capability", b"<DERCapability/>", 1)
    filed = start(FEEDER).document(ONE, "capability", 1)
    assert filed is not None
    assert filed.body == b"<DERCapability/>"


def test_a_device_whose_certificate_was_replaced_keeps_its_number(start: Declared) -> None:
    number = start(FEEDER).device("one").number
    board = start(FEEDER.replace(ONE, TWO))
    assert (board.device("one").lfdi, board.device("one").number) == (TWO, number)


def test_a_certificate_that_the_database_knows_by_another_name_is_told(start: Declared) -> None:
    start(FEEDER)
    with pytest.raises(BadInput, match='is that of "one" in the database'):
        start(FEEDER.replace('name = "one"', 'name = "uno"'))


def test_devices_that_must_register_themselves_are_not_there_before(
    start: Declared, tmp_path: Path
) -> None:
    text = f'mode = "register_access_only"\n{FEEDER}'
    assert start(text).devices() == ()
    read = file(tmp_path, text)
    settings = settings_of(read, known_devices(read))
    assert settings.registration == "listed"
    assert settings.listed[ONE]["name"] == "one"
    assert settings.listed[ONE]["groups"] == ["feeder"]


# --- what is wrong, and what was ---------------------------------------------------------


def test_validate_tells_all_that_the_named_files_lack_at_once(tmp_path: Path) -> None:
    text = 'admin_token_file = "t"\n[[ieee2030_5.device]]\nname = "one"\ncert_file = "o.pem"\n'
    file(tmp_path, text)
    [written] = tmp_path.glob("*.toml")
    told = CliRunner().invoke(main, ["validate", str(written)])
    assert told.exit_code == Exit.BAD_INPUT
    for key in ("cert_file", "key_file", "ca_file", "admin_token_file", "device[0].cert_file"):
        assert f"ieee2030_5.{key}: " in told.stderr


def test_validate_tells_files_that_are_missing_beside_a_key_that_is_unknown(
    tmp_path: Path,
) -> None:
    written = tmp_path / "derms.toml"
    written.write_text(
        '[ieee2030_5]\nprot = 8443\ncert_file = "none.pem"\nkey_file = "none.key"\nca_file = 3\n'
        '[[ieee2030_5.device]]\nname = "pv"\ncert_file = "pv.pem"\n'
    )
    told = CliRunner().invoke(main, ["validate", str(written)])
    assert told.exit_code == Exit.BAD_INPUT
    lines = told.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "ieee2030_5.ca_file",
        "ieee2030_5.prot",
        "ieee2030_5.cert_file",
        "ieee2030_5.key_file",
        "ieee2030_5.device[0].cert_file",
    ]
    assert all(line.endswith("cannot be read: No such file or directory") for line in lines[2:])


def test_a_file_of_a_server_alone_validates_and_tells_which_control_has_ended(
    tmp_path: Path, pki: Pki
) -> None:
    control = "[[ieee2030_5.program.control]]\nstart = 2020-01-01T00:00:00Z\nduration_s = 60\n"
    control += "base = { connect = true }\n"
    rest = f'[[ieee2030_5.program]]\nname = "p"\n{control}'
    written = write_file(tmp_path, pki, rest)
    told = CliRunner().invoke(main, ["validate", str(written)])
    assert told.exit_code == Exit.OK, told.output
    assert "program p: control[0] has ended" in told.stdout


@pytest.mark.parametrize("kind", ["program", "group", "curve", "control"])
def test_what_was_kept_with_a_text_that_xml_cannot_hold_can_be_read(
    clock: SteppedClock, kind: str
) -> None:
    keeper = MemoryKeeper()
    board = Board(keeper, clock)
    board.add_program("p", primacy=1)
    board.add_group("g", programs=["p"])
    board.add_curve("c", type=11, points=[(92, 44), (98, 0)])
    base = sep.DERControlBase(opModConnect=True)
    mrid = board.publish("p", base=base, start=board.now(), duration=60, description="x").mrid
    [kept] = keeper.documents(kind)
    body = json.dumps(json.loads(kept.body or "") | {"description": "line\u000bbreak\ufffe"})
    keeper.keep(replace(kept, body=body))

    again = Board(keeper, clock)

    found = {
        "program": again.program("p").description,
        "group": again.group("g").description,
        "curve": again.curve("c").description,
        "control": again.control(mrid).description,
    }
    assert found[kind] == "linebreak"


# --- certificates ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"), ["one", "two"])


def device(name: str, cert: Path, more: str = "") -> str:
    return f'[[ieee2030_5.device]]\nname = "{name}"\ncert_file = "{cert}"\n{more}\n'


def test_a_device_is_its_certificate(tmp_path: Path, pki: Pki) -> None:
    one = pki.device["one"]
    known = known_devices(file(tmp_path, device("one", one.cert_file)))
    assert known.lfdis == {"one": one.lfdi}
    assert known.fingerprints == {}


def test_in_file_mode_the_octets_of_the_file_name_who_comes_with_the_certificate(
    tmp_path: Path, pki: Pki
) -> None:
    import hashlib

    one = pki.device["one"]
    text = f'lfdi_mode = "file"\n{device("one", one.cert_file)}'
    known = known_devices(file(tmp_path, text))
    expected = hashlib.sha256(one.cert_file.read_bytes()).hexdigest()[:40].upper()
    assert known.lfdis == {"one": expected}
    assert known.fingerprints == {one.lfdi: expected}


def test_certificates_that_cannot_be_used_are_told_all_at_once(tmp_path: Path, pki: Pki) -> None:
    one = pki.device["one"]
    (tmp_path / "no.pem").write_text("no certificate", encoding="utf-8")
    text = (
        device("missing", tmp_path / "missing.pem")
        + device("none", tmp_path / "no.pem")
        + device("other", one.cert_file, f'lfdi = "{TWO}"')
        + device("again", one.cert_file)
    )
    with pytest.raises(BadInput) as told:
        known_devices(file(tmp_path, text))
    said = [str(fault) for fault in told.value.faults]
    assert "device[0].cert_file" in said[0]
    assert "cannot be read: No such file" in said[0]
    assert "holds no certificate" in said[1]
    assert f"is not that of cert_file, which is {one.lfdi}" in said[2]
    assert "has the LFDI of other" in said[3]


# --- the audit ---------------------------------------------------------------------------


def test_what_a_file_makes_is_audited_and_a_restart_with_the_same_file_adds_nothing(
    start: Declared, clock: SteppedClock
) -> None:
    group = '[[ieee2030_5.group]]\nname = "west"\nprograms = ["feeder"]\n'
    board = start(FEEDER + group)
    entries = list(board.audit.entries())
    assert {e.who for e in entries} == {"file"}
    assert {e.what.partition(" control ")[0] for e in entries} == {
        "derms.toml: curve vv",
        "derms.toml: program feeder",
        "derms.toml: program feeder:",
        "derms.toml: group west",
        "derms.toml: device one",
        "derms.toml: device one: der 1: capability",
        "derms.toml: device one: der 1: settings",
    }
    assert all(e.before is None and e.after is not None for e in entries)
    clock.move_to(START + timedelta(seconds=5))
    again = start(FEEDER + group)
    assert list(again.audit.entries()) == entries
    assert again.audit.fault() == ""


def test_a_file_that_was_changed_is_audited_with_before_and_after(start: Declared) -> None:
    entries = list(start(FEEDER).audit.entries())
    board = start(FEEDER.replace("primacy = 5", "primacy = 6"))
    [added] = list(board.audit.entries())[len(entries) :]
    assert added.what == "derms.toml: program feeder"
    assert (added.before["primacy"], added.after["primacy"]) == (5, 6)


# --- behind a proxy that ends TLS ---------------------------------------------------------


def proxied(folder: Path, *lines: str) -> ServerFile:
    file = folder / "derms.toml"
    head = '[ieee2030_5]\ntrusted_proxy_header = "X-Client-Cert"\n'
    file.write_text(head + "\n".join(lines) + "\n")
    return load_server(file, {})


def test_behind_a_proxy_it_is_told_what_notifications_go_without(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    told = checked(proxied(tmp_path)).notes
    assert [note.partition(": missing")[0] for note in told] == [
        "derms.toml: ieee2030_5.ca_file",
        "derms.toml: ieee2030_5.cert_file",
    ]
    pki = make_pki(tmp_path_factory.mktemp("pki"), [])
    whole = proxied(
        tmp_path,
        f'cert_file = "{pki.server.cert_file}"',
        f'key_file = "{pki.server.key_file}"',
        f'ca_file = "{pki.ca_file}"',
    )
    assert checked(whole).notes == ()


def test_behind_a_proxy_files_of_notifications_that_cannot_be_used_are_told_at_once(
    tmp_path: Path,
) -> None:
    with pytest.raises(BadInput, match=r"ca_file: .*nowhere.pem cannot be read"):
        checked(proxied(tmp_path, 'ca_file = "nowhere.pem"'))
    with pytest.raises(BadInput, match=r"key_file: missing: cert_file is of no use alone"):
        proxied(tmp_path, 'cert_file = "server.pem"')
