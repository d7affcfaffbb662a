"""`geems ieee2030-5 import`: documents, exit codes, what is told, what is never overwritten."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ems.cli import main
from ems.cli.outcome import Exit
from ems.derms.gridappsd import Kind, imported
from ems.errors import BadInput

CASES = Path(__file__).parents[1] / "scenario" / "gridappsd"
WHOLE = CASES / "every_mode_and_curve" / "server.yml"
LOSING = CASES / "a_first_configuration" / "server.yml"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["ieee2030-5", "import", *map(str, arguments)])


def test_a_configuration_that_loses_nothing_exits_0_and_its_file_is_on_standard_output() -> None:
    result = run(WHOLE)
    assert result.exit_code == Exit.OK
    assert tomllib.loads(result.stdout)["ieee2030_5"]["port"] == 8443
    assert "left out" not in result.stderr


def test_what_is_left_out_is_told_with_its_line_and_exits_3(tmp_path: Path) -> None:
    result = run(LOSING, "--out", tmp_path / "derms.toml")
    assert result.exit_code == Exit.DEGRADED
    assert (
        "server.yml:32: devices[1].pin: left out: 012345 has a wrong check digit" in result.stderr
    )
    assert (tmp_path / "derms.toml").read_text() == (LOSING.parent / "expected.toml").read_text()


def test_points_of_a_curve_are_put_in_the_order_of_x_and_that_is_told() -> None:
    text = (
        "curves:\n- description: vv\n  curveType: opModVoltVar\n  yRefType: 3\n  CurveData:\n"
        "  - {xvalue: 103, yvalue: -50}\n  - {xvalue: 99, yvalue: 50}\n"
    )
    made = imported(text, "x.yml")
    told = [str(found) for found in made.findings if "order of x" in str(found)]
    assert len(told) == 1
    assert "curves[0].CurveData: changed" in told[0]


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "derms.toml").write_text("mine")
    result = run(WHOLE, "--out", tmp_path / "derms.toml")
    assert result.exit_code == Exit.BAD_INPUT
    assert "nothing is ever overwritten" in result.stderr
    assert (tmp_path / "derms.toml").read_text() == "mine"


def test_with_json_there_is_one_document_of_findings_and_result() -> None:
    document = json.loads(run(LOSING, "--json").stdout)
    assert document["ok"] is False
    of_the_pin = next(f for f in document["findings"] if "devices[1].pin" in f["place"])
    assert (of_the_pin["kind"], of_the_pin["line"]) == ("left out", 32)
    assert document["document"]["ieee2030_5"]["device"][0]["pin"] == 111115


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no keys"),
        ("- a\n- b\n", "holds no keys"),
        ("server: [", "x.yml:1"),
        ("server: a\nport: 1\nserver: b\n", "x.yml:3: server: stands twice, first in line 1"),
        ("a: &a [*a]\n", "holds itself"),
        ("a: !!python/object/apply:os.system [ls]\n", "cannot be read"),
    ],
)
def test_what_is_no_configuration_is_bad_input(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=r"x\.yml") as raised:
        imported(text, "x.yml")
    assert told in str(raised.value)


def test_references_to_references_end_before_the_memory_does() -> None:
    text = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    with pytest.raises(BadInput, match="has more than"):
        imported(text, "x.yml")


def test_without_a_server_mode_that_servers_own_default_is_taken() -> None:
    made = imported("server: 127.0.0.1\n", "x.yml")
    assert made.document["ieee2030_5"]["mode"] == "register_access_only"
    assert any("server_mode is not named" in finding.problem for finding in made.findings)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ((0, 5), (1, 5)),
        ((1, 0, 2, 7), (2, 1, 3, 7)),
        ((0, 0, 1), (1, 1, 2)),
        ((*range(10), None, 12), (*range(1, 11), 11, 12)),
        ((3, None), (3, None)),
        (range(256), (*range(1, 255), 254, 254)),
        ((255, 3), (254, 3)),
    ],
)
def test_a_primacy_of_0_becomes_1_and_the_order_of_all_programs_stays(
    theirs: Sequence[int | None], ours: Sequence[int | None]
) -> None:
    text = "programs:\n" + "".join(
        f"- {{description: p{n}" + (f", primacy: {p}" if p is not None else "") + "}\n"
        for n, p in enumerate(theirs)
    )
    made = imported(text, "x.yml")
    programs = made.document["ieee2030_5"]["program"]
    assert tuple(program.get("primacy") for program in programs) == tuple(ours)
    told = [finding for finding in made.findings if "primacy" in finding.problem]
    assert {finding.kind for finding in told} <= {Kind.CHANGED}
    assert len(told) == sum(a != b for a, b in zip(theirs, ours, strict=True))


def test_a_primacy_that_moves_is_told_with_its_line() -> None:
    text = "programs:\n- description: a\n  primacy: 0\n- description: b\n  primacy: 1\n"
    first, second = (str(f) for f in imported(text, "x.yml").findings if "primacy" in str(f))
    assert first == (
        "x.yml:3: programs[0].primacy: changed: the primacy 0 is 1 here: 0 is the dispatch's own"
    )
    assert second == (
        "x.yml:5: programs[1].primacy: changed: the primacy 1 is 2 here: so it still goes behind "
        "the one before"
    )


def test_every_unknown_key_is_told_and_a_near_one_is_named() -> None:
    made = imported("server: 127.0.0.1\nserver_mod: x\ncolour: blue\n", "x.yml")
    left_out = [str(f) for f in made.findings if f.kind is Kind.LEFT_OUT]
    assert left_out == [
        "x.yml:2: server_mod: left out: unknown key; did you mean server_mode?",
        "x.yml:3: colour: left out: unknown key",
    ]
