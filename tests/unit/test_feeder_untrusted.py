"""A feeder file is a program from elsewhere: what it may do, and how it is told what it may not."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import feeders
from feeders import DerPlacement, Feeder, FeederFault, Injections
from feeders import probe as probing

HEAD = """Clear
New Circuit.f bus1=N1 basekV=12.47 pu=1.0 phases=3 MVAsc3=200 MVAsc1=200
New Line.l1 bus1=N1 bus2=N2 length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=400
New Line.l2 bus1=N2 bus2=N3 length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=400
New Line.l3 bus1=N3.1 bus2=N4.1 phases=1 length=1 units=km r1=0.3 x1=0.4 normamps=400
New Line.l4 bus1=N3.1.3 bus2=N5.1.3 phases=2 length=1 units=km r1=0.3 x1=0.4 normamps=400
"""
LOADS = "New Load.a bus1=N2 phases=3 kV=12.47 kW=500 pf=0.95 model=1\n"
FOOT = "Set VoltageBases=[12.47]\nCalcVoltageBases\nSolve\n"
FIRST_OWN_LINE = HEAD.count("\n") + LOADS.count("\n") + 1

NEWLINE = "\n"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(lines: str = "", *, head: str = HEAD, loads: str = LOADS, foot: str = FOOT) -> Path:
        folder = tmp_path / "feeder"
        folder.mkdir(exist_ok=True)
        path = folder / "f.dss"
        path.write_text(head + loads + (lines and lines + "\n") + foot)
        return path

    return file


def refusal(path: Path, *placements: DerPlacement) -> str:
    with pytest.raises(FeederFault) as fault:
        Feeder.open(str(path), placements)
    return str(fault.value)


# --- native code -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A library that leaves a mark when it is loaded, and the mark."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    folder = tmp_path_factory.mktemp("evil")
    library, mark = folder / "evil.so", folder / "mark"
    if compiler is None:
        library.write_bytes(b"\x7fELF\0")  # the refusal is still checked
        return library, mark
    source = folder / "evil.c"
    source.write_text(
        "#include <stdio.h>\n__attribute__((constructor)) static void run(void)"
        f'{{ FILE *f = fopen("{mark}", "w"); if (f) fclose(f); }}\n'
    )
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return library, mark


@pytest.mark.parametrize(
    "lines",
    [
        "New Generator.x bus1=N1 kV=12.47 kW=1 UserModel={so}",
        "New Generator.x bus1=N1 kV=12.47 kW=1 ShaftM={so}",
        'New "Generator.x" bus1=N1 kV=12.47 kW=1\n~ usermod={so}',
        "New object=Generator.x bus1=N1 kV=12.47 kW=1\nMore UserModel = {so}",
        "New Generator.x N1 3 12.47 1 0.9 (1 2 3) 1 0 a b c n 0 0 0 0 0 0 0 0 0 0 0 0 {so} {so}",
        "New Storage.x bus1=N1 kV=12.47 kWrated=1 DynaDLL={so}",
        "New PVSystem.x bus1=N1 kV=12.47 UserModel={so}",
        "Set class=Generator\nNew x bus1=N1 UserModel={so}",
        "New Capacitor.c bus1=N2 kvar=1\nNew CapControl.x element=line.l1 capacitor=c usermod={so}",
        "New Capacitor.c bus1=N2 kvar=1\nNew CapControl.x element=line.l1 capacitor=c\n~ u={so}",
        "New Capacitor.c bus1=N2 kvar=1\nEdit CapControl.x enabled=no\nCapControl.x.user={so}",
        "var @v={so}\nNew Generator.x bus1=N1 UserModel=@v",
        "Edit Line.l1 length=1 // comment\nEdit Line.l1 length=1 ! a\nBatchEdit Gener..* user={so}",
    ],
)
def test_no_native_code_is_loaded_however_it_is_spelled(
    write: Write, evil: tuple[Path, Path], lines: str
) -> None:
    library, mark = evil
    assert "f.dss:" in refusal(write(lines.format(so=library)))
    assert not mark.exists()


@pytest.mark.parametrize(
    "lines",
    ["~ 1 2 3 evil", "New CapControl.x element=line.l1 eventlog=no evil", "Edit c.u us=evil"],
)
def test_a_library_beside_the_process_is_not_reached_by_position_or_bare_name(
    write: Write, lines: str
) -> None:
    assert "f.dss:" in refusal(write("New Capacitor.c bus1=N2 kvar=1\nSolve\n" + lines))


# --- paths and commands ----------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "Export Voltages {out}/x.csv",
        "Export Summary file={out}/x.csv",
        "Expor Voltages",
        "(Export) Voltages",
        "Save Circuit Dir={out}/saved",
        "Set CaseName=../../../out/x",
        "Set casen=x",
        "Solve casename=x",
        "Set DataPath=sub",
        "Set DemandInterval=true",
        "Dump commands",
        "DOScmd touch x",
        "cd sub",
        "Quit",
        "CloseDI",
        "New LoadShape.s npts=2 mult=(file={out}/x.csv)",
        "New LoadShape.s npts=2 mult=(file='../x.csv')",
        "Redirect ~/x.dss",
        "Redirect sub/../../x.dss",
        r"Redirect \etc\passwd",
        r"Redirect C:\x.dss",
        'Redirect "//etc/passwd"',
        "/* */ Export Voltages",
        "/* Show\nShow */ Show Voltages",
        "Sho Voltages",
        "Set a b c d",
    ],
)
def test_a_file_that_writes_or_reaches_outside_is_refused_at_its_line(
    write: Write, tmp_path: Path, line: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    path = write(line.format(out=out))
    assert f"{path}:{FIRST_OWN_LINE + line.count(NEWLINE)}: " in refusal(path)
    assert list(out.iterdir()) == []
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "line", ["Show Voltages", "  PLOT profile", "Visualize powers line.l1", "Export Voltages x.csv"]
)
def test_a_line_that_only_reports_is_passed_over_and_told(write: Write, line: str) -> None:
    path = write(f"Redirect more.dss\n{line}\nLine.l1.length=2")
    (path.parent / "more.dss").write_text("! two lines\nFileEdit x.csv\n")
    feeder = Feeder.open(str(path))
    word = line.split(maxsplit=1)[0].lower()
    assert feeder.passed_over == (
        f"{path}:{FIRST_OWN_LINE + 1}: {word}",
        f"{path.parent / 'more.dss'}:2: fileedit",
    )
    assert sorted(p.name for p in path.parent.iterdir()) == ["f.dss", "more.dss"]
    assert line in path.read_text()  # the user's own file is left alone
    shorter = Feeder.open(str(write("Redirect more.dss")))
    at = Injections(p_kw={}, q_kvar={}, load_kw=500.0)
    assert feeder.load_flow(at).losses_kw > 1.1 * shorter.load_flow(at).losses_kw


def test_a_writing_command_is_told_what_a_feeder_file_is_for(write: Write) -> None:
    said = refusal(write("Save Circuit"))
    assert "`save` is not for a feeder file; take this line out" in said
    assert "may describe, not write" in said


def test_a_file_elsewhere_is_not_quoted_in_the_message(write: Write, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("top-secret-word\n")
    for line in (f"Redirect {secret}", "Redirect ../secret"):
        said = refusal(write(line))
        assert "outside the feeder's folder" in said
        assert "top-secret-word" not in said


def test_a_link_is_not_followed_out_of_the_folder(write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret.dss").write_text("top-secret-word\n")
    path = write("Redirect link.dss")
    (path.parent / "link.dss").symlink_to(tmp_path / "secret.dss")
    assert "no file `link.dss`" in refusal(path)


def test_all_faults_of_all_files_are_told_at_once(write: Write) -> None:
    path = write("Redirect more.dss\nSave Circuit\nRedirect gone.dss")
    (path.parent / "more.dss").write_text("! fine\nDump commands\nNew Generator.g bus1=N2\n")
    said = refusal(path)
    assert f"{path}:{FIRST_OWN_LINE + 1}: `save`" in said
    assert f"{path}:{FIRST_OWN_LINE + 2}: no file `gone.dss`" in said
    assert f"{path.parent / 'more.dss'}:2: `dump`" in said
    assert f"{path.parent / 'more.dss'}:3: holds generator.g" in said


def test_what_honest_feeders_contain_is_let_through(write: Write) -> None:
    path = write(
        "! kW/kvar of /home/me and C:\\data, ../notes\n"
        "// Export Voltages /tmp/x.csv\n"
        "/* Show Voltages\n   Export Voltages */\n"
        "New Line.a.b.c bus1=N3.1.2.3 bus2=N6.1.2.3 length=(1 2 /) units=km ! Show\n"
        "~ r1=(0.3 2 / 2 *) x1=0.4, normamps=400\n"
        "New LoadShape.day npts=2 interval=12 mult=(file=data/day.csv)\n"
        "New 'Load.quoted name' Bus1 = N6.1 phases=1 kV=(12.47 3 sqrt /) kW=5 daily=day\n"
        "New XYCurve.c npts=2 xarray=[1 2] yarray=[1 2]\n"
        "New Transformer.t windings=2 buses=(N6, N7) conns='delta wye' kVs=\"12.47 0.48\" "
        "kVAs=[500 500] XHL=2 %loadloss=1\n"
        "New RegControl.r transformer=t winding=2 vreg=120 band=2 ptratio=2.31\n"
        "New Capacitor.c bus1=N2 phases=3 kvar=100 kv=12.47\n"
        "New CapControl.cc capacitor=c element=line.l1 terminal=1 type=kvar ptratio=1 ctratio=1 "
        "ONsetting=50 OFFsetting=-50\n"
        "New EnergyMeter.m element=line.l1 terminal=1\n"
        "Redirect sub/loads.dss\n"
        "Line.l1.length=1.1\nEdit Load.a kW=450\nSet ShowExport=no\nSet Mode=snapshot\n"
        "Set VoltageBases = (12.47, 0.48)\nCalcV\nSolve\nBusCoords data/xy.csv"
    )
    folder = path.parent
    (folder / "data").mkdir()
    (folder / "data" / "day.csv").write_text("0.5\n1.0\n")
    (folder / "data" / "xy.csv").write_text("N1, 1, 2\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "loads.dss").write_text(
        "New Load.b bus1=N3 phases=3 kV=12.47 kW=5 pf=0.9\nRedirect more.DSS\n"
    )
    (folder / "sub" / "more.DSS").write_text("New Load.c bus1=N3 phases=3 kV=12.47 kW=5 pf=0.9\n")
    (folder / "README.md").write_text("See /usr/share; run `Export Voltages`.\n")
    (folder / "binary.dss").write_bytes(b"\0")
    feeder = Feeder.open(str(path), [DerPlacement(name="pv", bus="N6")])
    assert {load.name for load in feeder.loads} == {"a", "b", "c", "quoted name"}


def test_a_file_that_is_no_text_is_not_brought_to_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "f.dss"
    path.write_bytes(b"New Circuit.x\n\0")
    assert "not a readable text file" in refusal(path)


# --- crash, hang, write: found in another process --------------------------------------


@pytest.mark.parametrize("target", ["f.dss", "F.DSS", "f"])
def test_a_file_that_redirects_to_itself_is_refused_and_takes_nobody_down(
    write: Write, target: str
) -> None:
    assert "f.dss" in refusal(write(f"Redirect {target}"))


def test_files_that_redirect_to_each_other_are_named(write: Write) -> None:
    path = write("Redirect other.dss")
    (path.parent / "other.dss").write_text("\nRedirect f.dss\n")
    assert f"{path.parent / 'other.dss'}:2: redirects to itself" in refusal(path)


def test_a_crash_of_the_engine_is_a_fault_and_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "f.dss"
    path.write_text("Redirect f.dss\n")
    assert "breaks down" in probing.complaint(path)


def test_an_endless_solve_is_given_up(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "WALL_LIMIT_S", 2.0)
    path = write(foot=FOOT + "Set mode=daily number=100000000\nSolve\n")
    began = time.monotonic()
    assert "not solved within" in refusal(path)
    assert time.monotonic() - began < 10.0


def test_a_file_that_writes_unseen_is_caught_in_the_act(write: Write) -> None:
    path = write(foot=FOOT + "Export Voltages x.csv\n")
    assert "writes a file" in probing.complaint(path)


def test_the_probe_reports_no_trouble_where_the_engine_reports_an_error(write: Write) -> None:
    path = write("New Line.l9 bus1=N1 bus2=N2 lenth=1")
    assert probing.complaint(path) == ""
    assert f"line: {FIRST_OWN_LINE}" in refusal(path)


def test_a_feeder_is_probed_once_and_again_when_any_of_its_files_changes(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[Path] = []

    def fine(path: Path) -> str:
        probed.append(path)
        return ""

    monkeypatch.setattr("feeders.untrusted.complaint", fine)
    path = write("Redirect more.dss ! test of the cache")
    (path.parent / "more.dss").write_text("! one\n")
    for _ in range(3):
        Feeder.open(str(path)).close()
    assert len(probed) == 1
    (path.parent / "more.dss").write_text("Save Circuit\n")
    assert "more.dss:1" in refusal(path)


def test_a_shipped_feeder_needs_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feeders.untrusted.complaint", lambda path: pytest.fail(f"probed {path}"))
    Feeder.open("segment13").close()


def test_the_probe_runs_no_python_of_the_feeder_folder(write: Write) -> None:
    path = write()
    (path.parent / "numpy.py").write_text("import os; os._exit(7)\n")
    assert probing.complaint(path) == ""


# --- private copies --------------------------------------------------------------------


def test_copies_of_killed_runs_are_removed_and_those_in_use_are_not(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    for name in ("dead", "held", "fresh"):
        (place / f"geems-feeder-{name}").mkdir()
    long_ago = time.time() - 3600
    for name in ("dead", "held"):
        os.utime(place / f"geems-feeder-{name}", (long_ago, long_ago))
    owner = os.open(place / "geems-feeder-held", os.O_RDONLY)
    fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        Feeder.open(str(write())).close()
    finally:
        os.close(owner)
    assert sorted(p.name for p in place.iterdir()) == ["geems-feeder-fresh", "geems-feeder-held"]


# --- what a feeder must have -----------------------------------------------------------


def test_a_feeder_without_loads_is_refused(write: Write) -> None:
    assert "has no loads; add one" in refusal(write(loads=""))


@pytest.mark.parametrize("kw", ["NaN", "(1e308 10 *)"])
def test_a_load_that_is_no_number_is_named(write: Write, kw: str) -> None:
    said = refusal(write(f"New Load.bad bus1=N2 phases=3 kV=12.47 kW={kw}", foot=FOOT[:-6]))
    assert "whose power is no number: load.bad" in said


def test_loads_without_power_cannot_share_the_measured_one(write: Write) -> None:
    said = refusal(write(loads="New Load.a bus1=N2 phases=3 kV=12.47 kW=0 kvar=0\n"))
    assert "give each its nominal kW" in said


@pytest.mark.parametrize("kind", ["Generator", "Storage", "PVSystem"])
def test_ders_of_the_feeder_file_are_named_with_the_mend(write: Write, kind: str) -> None:
    said = refusal(write(f"New {kind}.roof bus1=N2 kV=12.47"))
    assert f"holds {kind.lower()}.roof; DERs stand in the site file: make it one there" in said


def test_ders_of_the_feeder_file_can_be_switched_off(write: Write) -> None:
    at = Injections(p_kw={}, q_kvar={}, load_kw=500.0)
    plain = Feeder.open(str(write())).load_flow(at)
    path = write(
        "New Generator.roof bus1=N3 kV=12.47 kW=400\nNew PVSystem.pv bus1=N3 kV=12.47 Pmpp=300\n"
        "New Storage.b bus1=N3 kV=12.47 kWrated=50 kWhrated=100 state=discharging\n"
        "New XYCurve.c npts=2 xarray=[1 2] yarray=[1 0]\n"
        "New InvControl.i mode=voltwatt voltwatt_curve=c"
    )
    flow = Feeder.open(str(path), own_ders="off").load_flow(at)
    assert flow.converged
    np.testing.assert_allclose(flow.v_pu, plain.v_pu, atol=1e-9)


@pytest.mark.parametrize(
    "lines", ["New Generator.x bus1=N1 kV=12.47 kW=1 UserModel=x", "~ ShaftM=x"]
)
def test_ders_that_are_switched_off_still_load_no_native_code(write: Write, lines: str) -> None:
    path = write("New Generator.y bus1=N1 kV=12.47 kW=1\n" + lines)
    with pytest.raises(FeederFault, match="native code"):
        Feeder.open(str(path), own_ders="off")


def test_what_draws_current_by_a_law_of_its_own_is_refused(write: Write) -> None:
    said = refusal(write("New IndMach012.m bus1=N2 kV=12.47 kW=100 kVA=120"))
    assert "holds indmach012.m, whose current GEEMS cannot follow" in said
    assert "write each as a Load" in said


# --- phases ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bus", "phases", "said"),
    [
        ("N4", 3, 'bus N4 has phase 1 only: give phases = 1 and bus = "N4.1"'),
        ("N5", 3, 'bus N5 has phases 1 and 3 only: give phases = 2 and bus = "N5.1.3"'),
        ("N2.4", 1, 'bus N2 has phases 1, 2 and 3, so "N2.4" is not on it'),
        ("N2.x", 1, 'so "N2.x" is not on it'),
        ("N2.1.2.4", 3, 'so "N2.1.2.4" is not on it'),
        ("N4.2", 1, 'bus N4 has phase 1, so "N4.2" is not on it; as in bus = "N4.1"'),
        ("N2", 1, 'name the phase, as in bus = "N2.1"'),
        ("N2", 2, 'name the phases, as in bus = "N2.1.2"'),
        ("N5", 1, 'bus N5 has phases 1 and 3: name the phase, as in bus = "N5.1"'),
        ("N2.1", 3, 'names phase 1 where phases = 3; give phases = 1, or as in bus = "N2.1.2.3"'),
        ("N2.1.1", 2, 'as in bus = "N2.1.2"'),
    ],
)
def test_a_der_stands_on_phases_that_are_there(
    write: Write, bus: str, phases: int, said: str
) -> None:
    message = refusal(write(), DerPlacement(name="pv", bus=bus, phases=phases))
    assert message.startswith("pv: bus")
    assert said in message


@pytest.mark.parametrize(
    ("bus", "phases", "nodes"),
    [
        ("n4", 1, ["N4.1"]),
        ("N4.1", 1, ["N4.1"]),
        ("N2.3", 1, ["N2.3"]),
        ("N5", 2, ["N5.1", "N5.3"]),
        ("N2.3.1", 2, ["N2.1", "N2.3"]),
        ("N2.1.2.3", 3, ["N2.1", "N2.2", "N2.3"]),
    ],
)
def test_a_der_injects_on_its_phases_and_makes_no_node_of_its_own(
    write: Write, bus: str, phases: int, nodes: list[str]
) -> None:
    plain = Feeder.open(str(write()))
    feeder = Feeder.open(str(write()), [DerPlacement(name="pv", bus=bus, phases=phases)])
    assert feeder.nodes == plain.nodes
    at = Injections(p_kw={"pv": 50.0}, q_kvar={}, load_kw=500.0)
    assert feeder.load_flow(at).converged
    slope = feeder.linearise(at).voltage_rows(range(len(feeder.nodes)))[0][:, 0]
    rises = {n: float(slope[i]) for i, n in enumerate(feeder.nodes) if n.startswith(nodes[0][:3])}
    assert sorted(sorted(rises, key=lambda n: -rises[n])[: len(nodes)]) == nodes


def test_missing_buses_and_missing_phases_are_told_together(write: Write) -> None:
    places = [DerPlacement(name="a", bus="N4"), DerPlacement(name="b", bus="Q")]
    said = refusal(write(), *places)
    assert "a: bus N4 has phase 1 only" in said
    assert "b: feeder" in said


def test_the_probe_is_a_module_of_the_package_and_is_found_from_anywhere(
    write: Write, tmp_path: Path
) -> None:
    """As `geems` runs it: the working directory is not the project's."""
    path = write()
    root = Path(feeders.__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); from feeders import Feeder; "
        f"Feeder.open({str(path)!r}).close()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
