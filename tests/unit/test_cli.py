"""Commands without a process of their own: arguments, documents, exit codes, messages."""

import importlib.util
import json
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ems.cli import foreign, main, operate
from ems.cli.doctor import interpreter
from ems.cli.outcome import Exit, report
from ems.errors import BadInput, Fault, LeaseHeld, PortInUse
from ems.settings import TEMPLATE
from feeders.errors import FeederFault
from forecasting.series import SeriesFault
from models.writing import held

Geems = Callable[..., "click.testing.Result"]


@pytest.fixture
def geems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Geems:
    """Runs the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> click.testing.Result:
        return CliRunner().invoke(main, arguments)

    return run


def test_help_names_every_command_in_the_order_a_new_user_meets_them(geems: Geems) -> None:
    shown = geems("--help").stdout.partition("Commands:")[2].splitlines()
    names = [line.split()[0] for line in shown if line.strip()]
    assert names == [
        *("demo", "init", "validate", "doctor", "run", "serve", "explain", "replay", "plant"),
        *("reproduce", "forecast", "models", "release", "coordinate", "backtest", "sweep"),
        *("step-response", "icd", "rtu", "ieee2030-5", "discover"),
        *("audit", "backup", "restore"),
    ]


@pytest.mark.parametrize("name", list(main.commands))
def test_every_command_helps(geems: Geems, name: str) -> None:
    result = geems(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")


# --- init ----------------------------------------------------------------------------


def test_init_writes_a_site_file_that_validates_as_it_is(geems: Geems) -> None:
    assert geems("init").exit_code == Exit.OK
    result = geems("validate")
    told = "site.toml: ok\nmode: auto (every device is on this machine)\n"
    assert (result.exit_code, result.stdout) == (Exit.OK, told)


def test_init_makes_the_folder_it_is_given(geems: Geems, tmp_path: Path) -> None:
    assert geems("init", "a/b").exit_code == Exit.OK
    assert (tmp_path / "a" / "b" / "site.toml").read_text() == TEMPLATE.read_text()


def test_init_never_overwrites(geems: Geems, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("mine")
    result = geems("init")
    assert result.exit_code == Exit.BAD_INPUT
    assert "is there already" in result.stderr
    assert (tmp_path / "site.toml").read_text() == "mine"


def test_init_tells_of_a_folder_it_cannot_make(geems: Geems, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = geems("init", "file/inside")
    assert result.exit_code == Exit.BAD_INPUT
    assert "cannot be written" in result.stderr


# --- validate ------------------------------------------------------------------------


def test_validate_tells_all_faults_in_one_document(geems: Geems, tmp_path: Path) -> None:
    text = TEMPLATE.read_text().replace("rated_kw = 10000", "rated_mw = 10")
    (tmp_path / "site.toml").write_text(text.replace('"B7"', '"B77"'))
    result = geems("validate", "--json")
    assert result.exit_code == Exit.BAD_INPUT
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert [fault["place"] for fault in document["faults"]] == [
        "site.toml: pv[0].rated_mw",
        "site.toml: dg[0].bus",
    ]
    assert all(fault["problem"] in result.stderr for fault in document["faults"])


def test_validate_of_a_good_file_is_one_document_too(geems: Geems) -> None:
    geems("init")
    result = geems("validate", "--json")
    assert json.loads(result.stdout) == {
        "ok": True,
        "faults": [],
        "notes": [],
        "control": {"mode": "auto", "why": "every device is on this machine"},
    }


def test_validate_tells_the_mode_and_what_is_hardly_meant(geems: Geems, tmp_path: Path) -> None:
    text = TEMPLATE.read_text().replace("longitude_deg = -122.42", "longitude_deg = 122.42")
    meter = 'device = { host = "127.0.0.1", port = 5020 }'
    (tmp_path / "site.toml").write_text(text.replace(meter, meter.replace("127.0.0.1", "10.0.0.9")))
    result = geems("validate")
    assert result.exit_code == 0
    ok, mode, note = result.stdout.splitlines()
    assert ok == "site.toml: ok"
    assert mode == "mode: advisory (the load meter is not on this machine)"
    assert note.startswith("note: site.toml: site.longitude_deg: 122.42° is 7.8 h")
    document = json.loads(geems("validate", "--json").stdout)
    assert document["notes"] == [note.removeprefix("note: ")]
    assert document["control"]["mode"] == "advisory"


def test_a_command_refuses_a_bad_site_before_it_opens_anything(
    geems: Geems, tmp_path: Path
) -> None:
    (tmp_path / "site.toml").write_text("[site]\n")
    for command in (("run", "--once", "--json"), ("serve",), ("plant",)):
        result = geems(*command)
        assert result.exit_code == Exit.BAD_INPUT
        assert "site.toml: site.name: missing" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["site.toml"]


def test_the_plant_is_simulated_on_this_machine_only(geems: Geems, tmp_path: Path) -> None:
    text = TEMPLATE.read_text().replace('"127.0.0.1", port = 5022', '"10.0.0.5", port = 502')
    (tmp_path / "site.toml").write_text(text)
    result = geems("plant")
    assert result.exit_code == Exit.BAD_INPUT
    assert "site.toml: bes.device.host: 10.0.0.5 is not on loopback" in result.stderr


# --- arguments -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("demo", "--speed", "fast"), 'neither "max" nor a number above 0'),
        (("demo", "--speed", "-1"), 'neither "max" nor a number above 0'),
        (("demo", "--speed", "nan"), 'neither "max" nor a number above 0'),
        (("demo", "--cycles", "0"), "--cycles"),
        (("demo", "--day", "2012-06-01"), "--pv and --day go together"),
        (("demo", "--json"), "give --cycles"),
        (("demo", "--pv", "nowhere.csv", "--day", "2012-06-01"), "nowhere.csv"),
        (("demo", "--cycles", "1", "--seed", "-1"), "-1 is not in the range"),
        (("plant", "--seed", "-1"), "-1 is not in the range"),
        (("run",), "--once"),
        (("reproduc",), "reproduc"),
        (("forecast", "train", "nowhere.toml", "--out", "x"), "nowhere.toml"),
    ],
)
def test_wrong_arguments_are_bad_input(geems: Geems, arguments: tuple[str, ...], said: str) -> None:
    result = geems(*arguments)
    assert result.exit_code == Exit.BAD_INPUT
    assert said in result.stderr


@pytest.mark.parametrize(
    ("arguments", "place", "problem"),
    [
        (("run", "--json"), "--once", "Missing option '--once'"),
        (("run", "nowhere.toml", "--once", "--json"), "nowhere.toml", "no such file"),
        (("validate", "nowhere.toml", "--json"), "nowhere.toml", "no such file"),
        (("validate", "--json", "."), "SITE", "is a directory"),
        (
            ("demo", "--pv", "nowhere.csv", "--day", "2012-06-01", "--json"),
            "--pv",
            "'nowhere.csv' does not exist",
        ),
        (("demo", "--cycles", "1", "--pv", "site.toml", "--json"), "", "go together"),
        (("demo", "--seed", "-1", "--json"), "--seed", "not in the range"),
        (("doctor", "--prot", "1", "--json"), "", "No such option"),
        (("reproduc", "--json"), "", "reproduce"),
        (("--json", "reproduce"), "", "No such option"),
    ],
)
def test_wrong_arguments_are_one_document_too(
    geems: Geems, tmp_path: Path, arguments: tuple[str, ...], place: str, problem: str
) -> None:
    (tmp_path / "site.toml").write_text(TEMPLATE.read_text())
    result = geems(*arguments)
    assert result.exit_code == Exit.BAD_INPUT
    document = json.loads(result.stdout)
    assert document["ok"] is False
    (fault,) = document["faults"]
    assert fault["place"] == place
    assert problem in fault["problem"]
    assert problem in result.stderr


def test_without_json_a_wrong_argument_leaves_standard_output_empty(geems: Geems) -> None:
    assert geems("run").stdout == ""
    assert geems("run", "--", "--json").stdout == ""  # a file of that name


# --- forecast ------------------------------------------------------------------------


def test_a_slip_in_a_sources_file_is_told_with_its_place_and_mend(
    geems: Geems, tmp_path: Path
) -> None:
    (tmp_path / "sources.toml").write_text(
        '[[source]]\nname = "roof"\nfile = "roof.csv"\nquantity = "power_kW"\n'
        'latitude = 39.7\nlongitude_deg = -105.2\nlicenze = "CC0"\n'
    )
    result = geems("forecast", "train", "sources.toml", "--out", "model", "--json")
    assert result.exit_code == Exit.BAD_INPUT
    told = {f["place"]: f["problem"] for f in json.loads(result.stdout)["faults"]}
    assert told["sources.toml: source[0].latitude"] == "unknown key; did you mean latitude_deg?"
    assert told["sources.toml: source[0].licenze"] == "unknown key; did you mean licence?"
    assert 'did you mean "power_kw"?' in told["sources.toml: source[0].quantity"]
    assert len(told) == 3
    assert not (tmp_path / "model").exists()


def test_a_sources_file_that_is_no_toml_is_named(geems: Geems, tmp_path: Path) -> None:
    (tmp_path / "sources.toml").write_text("[[source\n")
    result = geems("forecast", "train", "sources.toml", "--out", "model", "--json")
    assert result.exit_code == Exit.BAD_INPUT
    (fault,) = json.loads(result.stdout)["faults"]
    assert fault["place"] == "sources.toml"
    assert fault["problem"].startswith("not a TOML file")


def test_a_trained_model_is_never_written_over_and_its_folder_is_named_as_an_id(
    geems: Geems, tmp_path: Path
) -> None:
    (tmp_path / "sources.toml").write_text('[[source]]\nname = "roof"\n')
    held = tmp_path / "Bad Name"
    held.mkdir()
    (held / "manifest.json").write_text("{}")
    result = geems("forecast", "train", "sources.toml", "--out", "Bad Name", "--json")
    assert result.exit_code == Exit.BAD_INPUT
    faults = json.loads(result.stdout)["faults"]
    told = [f["problem"] for f in faults if f["place"] == "--out"]
    assert [text.partition("; ")[0] for text in told] == [
        '"Bad Name" cannot be an id',
        "Bad Name holds an artefact, which may serve",
    ]
    assert len(faults) > len(told)  # what is wrong in the file is told with it
    assert (held / "manifest.json").read_text() == "{}"


@pytest.mark.parametrize("out", ["file/x", "held"])
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_read(
    geems: Geems, tmp_path: Path, out: str
) -> None:
    (tmp_path / "file").write_text("mine")
    # The series is not there, which whoever reads it tells.
    (tmp_path / "sources.toml").write_text(
        '[[source]]\nname = "roof"\nfile = "roof.csv"\nquantity = "ghi_wm2"\n'
        'latitude_deg = 39.7\nlongitude_deg = -105.2\nlicence = "CC0"\n'
    )
    with held(tmp_path / "held"):
        result = geems("forecast", "train", "sources.toml", "--out", out, "--json")
    assert result.exit_code == Exit.BAD_INPUT
    (fault,) = json.loads(result.stdout)["faults"]
    assert fault["place"] == "--out"
    assert "defect" not in result.stderr


# --- the database --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("notes.txt", "is no SQLite database"),
        ("folder", "is a folder"),
        ("nowhere/geems.sqlite", "does not exist; create it first"),
    ],
)
def test_a_store_path_that_can_hold_no_database_is_bad_input(
    geems: Geems, tmp_path: Path, path: str, problem: str
) -> None:
    (tmp_path / "notes.txt").write_text("remember the milk")
    (tmp_path / "folder").mkdir()
    text = TEMPLATE.read_text().replace('"geems.sqlite"', f'"{path}"')
    (tmp_path / "site.toml").write_text(text)
    for command in (("run", "--once"), ("serve",), ("validate",)):
        result = geems(*command)
        assert result.exit_code == Exit.BAD_INPUT
        assert "site.toml: store.path: " in result.stderr
        assert problem in result.stderr
    assert (tmp_path / "notes.txt").read_text() == "remember the milk"


def test_an_empty_file_may_become_the_database(geems: Geems, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(TEMPLATE.read_text())
    (tmp_path / "geems.sqlite").touch()
    assert geems("validate").exit_code == Exit.OK


# --- demo and serve ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("value\n1\n2\n", "column"),
        ("time_utc,value\n2012-06-01T12:00Z,1\n2012-06-01T12:00Z,2\n", "twice"),
        ("", "series.csv"),
    ],
)
def test_a_series_that_cannot_be_played_is_bad_input(
    geems: Geems, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "series.csv").write_text(text)
    arguments = ("--cycles", "1", "--speed", "max", "--pv", "series.csv", "--day", "2012-06-01")
    result = geems("demo", *arguments)
    assert result.exit_code == Exit.BAD_INPUT
    assert said in result.stderr


def test_the_demo_prints_a_table_and_what_it_means(
    geems: Geems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    result = geems("demo", "--cycles", "1", "--speed", "max")
    assert result.exit_code == Exit.OK, result.output
    assert "V kept" in result.stdout
    assert "3 of 3 setpoints were written and read back over Modbus TCP." in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, Exit.OK),
        ({"violations": 1}, Exit.DEGRADED),
        ({"violations_within": 1}, Exit.DEGRADED),
        ({"status": "degraded"}, Exit.DEGRADED),
        ({"status": "infeasible"}, Exit.DEGRADED),
    ],
)
def test_a_demo_that_was_degraded_or_broke_a_limit_ends_with_code_3_after_its_document(
    geems: Geems, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], code: Exit
) -> None:
    ended = {"violations": 0, "violations_within": 0} | change
    played = {**ended, "cycles": [{"status": "verified"}, {"status": "verified"} | change]}
    monkeypatch.setattr("ems.demo.run_demo", lambda **_: played)
    result = geems("demo", "--cycles", "2", "--speed", "max", "--json")
    assert result.exit_code == code
    assert json.loads(result.stdout) == played


def test_a_page_cannot_follow_a_stepped_clock(geems: Geems) -> None:
    result = geems("demo", "--speed", "max")
    assert result.exit_code == Exit.BAD_INPUT
    assert "--cycles" in result.stderr


def test_a_page_follows_no_clock_on_which_healthy_devices_would_be_accused(geems: Geems) -> None:
    result = geems("demo", "--port", "0", "--speed", "251")
    assert result.exit_code == Exit.BAD_INPUT
    assert result.stderr.startswith("--speed 251: is too fast for a service")
    assert "choose at most 250, or give --cycles" in result.stderr


def test_with_its_cycles_counted_a_demo_is_as_fast_as_it_is_told(geems: Geems) -> None:
    """Time stands still while a cycle runs, so nothing comes too late."""
    result = geems("demo", "--cycles", "1", "--speed", "100000", "--json")
    assert result.exit_code == Exit.OK, result.output
    assert [cycle["alarms"] for cycle in json.loads(result.stdout)["cycles"]] == [[]]


def test_a_port_in_use_is_bad_input(
    geems: Geems, listening_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    geems("init")
    monkeypatch.setenv("GEEMS_WEB__PORT", str(listening_port))
    result = geems("serve")
    assert result.exit_code == Exit.BAD_INPUT
    assert str(listening_port) in result.stderr


def test_the_environment_reaches_the_command(geems: Geems, monkeypatch: pytest.MonkeyPatch) -> None:
    geems("init")
    monkeypatch.setenv("GEEMS_LIMITS__V_MAX_PU", "0.5")
    result = geems("validate")
    assert result.exit_code == Exit.BAD_INPUT
    assert "environment GEEMS_LIMITS__V_MAX_PU" in result.stderr


@pytest.mark.parametrize("command", [("run", "--once"), ("serve",)])
def test_a_database_that_cannot_be_opened_is_bad_input(
    geems: Geems, tmp_path: Path, command: tuple[str, ...]
) -> None:
    assert geems("init").exit_code == Exit.OK
    (tmp_path / "geems.sqlite").symlink_to(tmp_path / "gone" / "geems.sqlite")
    result = geems(*command)
    assert result.exit_code == Exit.BAD_INPUT
    assert "geems.sqlite: it cannot be opened; check the path and its permissions" in result.stderr


def test_the_demo_says_of_a_taken_port_which_option_takes_another(
    geems: Geems, listening_port: int
) -> None:
    result = geems("demo", "--port", str(listening_port))
    assert result.exit_code == Exit.BAD_INPUT
    said = f"127.0.0.1:{listening_port} is in use by another program"
    told = [line for line in result.stderr.splitlines() if said in line]
    assert len(told) == 1, result.stderr
    assert "(--port; 0 takes any that is free)" in told[0]
    assert "site.toml" not in told[0]


@pytest.mark.parametrize("terminal", [True, False])
def test_the_demo_asks_for_names_only_where_they_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, terminal: bool
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal, raising=False)
    operate._announce_demo("http://127.0.0.1:8080/")
    said = capsys.readouterr().err
    assert "the page: http://127.0.0.1:8080/" in said
    assert ("type pv, bes, dg or load" in said) is terminal


# --- doctor --------------------------------------------------------------------------


def test_doctor_names_every_check(geems: Geems, free_port: int) -> None:
    result = geems("doctor", "--json", "--port", str(free_port))
    checks = {check["check"]: check for check in json.loads(result.stdout)["checks"]}
    assert list(checks) == [
        *("versions", "interpreter", "package names", "Ipopt", "OpenDSS", "LiteRT"),
        *("port", "clock", "disk"),
    ]
    failed = [check for check in checks.values() if not check["ok"]]
    assert failed == []
    assert result.exit_code == Exit.OK


@pytest.mark.parametrize(
    ("prefix", "options", "said"),
    [
        ("/opt/python", "'--enable-optimizations' '--with-lto'", "with its optimisations"),
        ("/usr", "'--enable-shared'", "with its optimisations"),
        ("C:\\Python", None, "with its optimisations"),
        ("/home/me/.pyenv/versions/3.11.7", "'--enable-shared'", "takes a sixth longer"),
    ],
)
def test_doctor_tells_an_interpreter_without_its_optimisations(
    monkeypatch: pytest.MonkeyPatch, prefix: str, options: str | None, said: str
) -> None:
    real = sysconfig.get_config_var
    monkeypatch.setattr(sys, "base_prefix", prefix)
    monkeypatch.setattr(
        sysconfig, "get_config_var", lambda name: options if name == "CONFIG_ARGS" else real(name)
    )
    told = next(interpreter())
    assert told.ok
    assert said in told.detail
    assert prefix in told.detail


def test_doctor_refuses_what_is_no_port(geems: Geems) -> None:
    result = geems("doctor", "--port", "99999")
    assert result.exit_code == Exit.BAD_INPUT
    assert "99999 is not in the range 0<=x<=65535" in result.stderr


def test_doctor_fails_on_a_taken_port(geems: Geems, listening_port: int) -> None:
    result = geems("doctor", "--port", str(listening_port))
    assert result.exit_code == Exit.FAULT
    assert f"port {listening_port}:" in result.stdout


# --- faults --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadInput([Fault(place="a", problem="b"), Fault(place="c", problem="d")]), 2, "a: b\nc: d"),
        (PortInUse("127.0.0.1:8080 is taken"), 2, "127.0.0.1:8080 is taken"),
        (FeederFault("feeder does not compile"), 2, "feeder: feeder does not compile"),
        (SeriesFault(("x.csv: no column", "y.csv: empty")), 2, "x.csv: no column\ny.csv: empty"),
        (SeriesFault(("too few days",)), 2, "too few days"),
        (LeaseHeld("another process writes"), 1, "another process writes"),
    ],
)
def test_every_fault_is_a_clear_message_and_a_code(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error) == code
    captured = capsys.readouterr()
    assert captured.err.strip() == said
    assert captured.out == ""


def test_a_defect_names_itself_and_how_to_see_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(ZeroDivisionError("oh")) == Exit.FAULT
    captured = capsys.readouterr()
    assert "ZeroDivisionError: oh" in captured.err
    assert "geems --debug" in captured.err


def test_debug_lets_the_exception_through(geems: Geems) -> None:
    result = geems("--debug", "validate", "--json")
    assert result.exit_code == Exit.BAD_INPUT  # told faults are no exception
    result = geems("--debug", "run", "--once")
    assert isinstance(result.exception, BadInput)


# --- package names -------------------------------------------------------------------


def test_our_packages_are_ours() -> None:
    assert foreign.foreign_packages() == []


def test_a_foreign_package_of_our_name_is_refused_at_start(
    geems: Geems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "models" / "__init__.py"

    class Spec:
        origin = str(elsewhere)

    def find(name: str) -> object:
        return Spec if name == "models" else real(name)

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", find)
    result = geems("doctor")
    assert result.exit_code == Exit.FAULT
    assert f"package models: {elsewhere.parent} is not part of geems" in result.stderr


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert len(foreign.foreign_packages()) == 4
