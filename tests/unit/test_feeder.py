"""The engine module: convergence that can be believed, and feeder files that cannot harm."""

import contextlib
import threading
from pathlib import Path

import numpy as np
import pytest

from feeders import DerPlacement, Feeder, FeederFault, Injections, shipped
from feeders.engine import Feeder as Engine

PLACES = (
    DerPlacement(name="pv", bus="B13"),
    DerPlacement(name="dg", bus="b7"),
    DerPlacement(name="bes", bus="B11"),
)
FREE = Injections(p_kw={"pv": 10_000.0, "dg": 3000.0, "bes": 200.0}, q_kvar={}, load_kw=13_204.397)


@pytest.fixture
def feeder() -> Feeder:
    return Feeder.open("segment13", PLACES)


def test_segment13_gives_the_reference_voltages(feeder: Feeder) -> None:
    flow = feeder.load_flow(FREE)
    assert flow.converged
    node, v = flow.highest()
    assert node.partition(".")[0] == "B13"
    assert v == pytest.approx(1.1284, abs=1e-4)
    assert int((flow.v_pu > 1.1).sum()) == 21
    below = np.sort(flow.v_pu)[::-1]
    assert below[20] == pytest.approx(1.1105, abs=1e-4)
    assert below[21] == pytest.approx(1.0472, abs=1e-4)


def test_opening_a_feeder_leaves_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Feeder.open("segment13").close()
    assert Path.cwd() == tmp_path


def test_power_balance_closes_from_the_head_to_the_loads(feeder: Feeder) -> None:
    flow = feeder.load_flow(FREE)
    assert flow.head_kw == pytest.approx(13_204.397 + flow.losses_kw - 13_200.0, abs=1e-3)
    assert flow.residual_kw < 1e-3


def test_a_feeder_that_cannot_carry_the_load_is_not_called_converged(feeder: Feeder) -> None:
    flow = feeder.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=80_000.0))
    assert not flow.converged


def test_a_diverged_state_does_not_spoil_the_next_solve(feeder: Feeder) -> None:
    before = feeder.load_flow(FREE)
    feeder.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=80_000.0))
    after = feeder.load_flow(FREE)
    assert after.converged
    np.testing.assert_allclose(after.v_pu, before.v_pu, atol=1e-8)


def test_a_linearisation_predicts_what_a_load_flow_shows(feeder: Feeder) -> None:
    slope = feeder.linearise(FREE)
    moved = Injections(
        p_kw={"pv": 9_990.0, "dg": 3000.0, "bes": 200.0}, q_kvar={"pv": -10.0}, load_kw=13_204.397
    )
    shift = np.array([-10.0, 0.0, 0.0])
    dv, dl = slope.change(shift, shift)
    then = feeder.load_flow(moved)
    np.testing.assert_allclose(then.v_pu, slope.flow.v_pu + dv, atol=2e-7)
    np.testing.assert_allclose(then.loading_pct, slope.flow.loading_pct + dl, atol=1e-2)


def test_rows_and_the_whole_change_agree(feeder: Feeder) -> None:
    slope = feeder.linearise(FREE)
    p, q = np.array([3.0, -1.0, 2.0]), np.array([-2.0, 5.0, 0.5])
    dv, dl = slope.change(p, q)
    v_p, v_q = slope.voltage_rows(range(len(feeder.nodes)))
    l_p, l_q = slope.loading_rows(range(len(feeder.elements)))
    little = 1e-4
    _, dl = slope.change(little * p, little * q)
    np.testing.assert_allclose(v_p @ p + v_q @ q, dv, atol=1e-14)
    np.testing.assert_allclose(l_p @ p + l_q @ q, dl / little, atol=1e-6)


def test_no_tangent_of_a_loading_lies_above_it(feeder: Feeder) -> None:
    slope = feeder.linearise(FREE)
    every = range(len(feeder.elements))
    p, q = np.array([300.0, -100.0, 200.0]), np.array([-2000.0, 500.0, 50.0])
    _, moved = slope.change(p, q)
    loading, l_p, l_q = slope.loading_cuts(every, p, q)
    np.testing.assert_allclose(loading, slope.flow.loading_pct + moved, atol=1e-9)
    still = loading - l_p @ p - l_q @ q
    assert np.all(still <= slope.flow.loading_pct + 1e-9)


def test_a_linearisation_outlives_the_next_load_flow(feeder: Feeder) -> None:
    slope = feeder.linearise(FREE)
    before = slope.voltage_rows([5, 38])
    feeder.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=1_000.0, head_v_pu=0.98))
    feeder.close()
    for a, b in zip(before, slope.voltage_rows([5, 38]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_closed_feeder_says_so(feeder: Feeder) -> None:
    feeder.close()
    with pytest.raises(FeederFault, match="feeder segment13 is closed; open it again"):
        feeder.load_flow(FREE)


def test_two_feeders_in_two_threads_do_not_disturb_each_other() -> None:
    feeders = [Feeder.open("segment13", PLACES) for _ in range(2)]
    loads = (13_204.397, 9_000.0)
    wanted = [
        f.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=load)).v_pu
        for f, load in zip(feeders, loads, strict=True)
    ]
    wrong: list[int] = []

    def hammer(i: int) -> None:
        for _ in range(200):
            flow = feeders[i].load_flow(Injections(p_kw={}, q_kvar={}, load_kw=loads[i]))
            if not np.allclose(flow.v_pu, wanted[i], atol=1e-9):
                wrong.append(i)

    threads = [threading.Thread(target=hammer, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_all_missing_buses_are_named_at_once_with_what_was_meant() -> None:
    with pytest.raises(FeederFault) as fault:
        Feeder.open(
            "segment13", [DerPlacement(name="a", bus="B14"), DerPlacement(name="b", bus="Z")]
        )
    assert "a: feeder segment13 has no bus B14; did you mean B" in str(fault.value)
    assert "b: feeder segment13 has no bus Z; it has B1" in str(fault.value)


def test_an_unknown_feeder_names_the_shipped_ones() -> None:
    with pytest.raises(FeederFault, match=r"no such file.*shipped: .*segment13"):
        Feeder.open("segment14")


def test_a_feeder_that_does_not_compile_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.dss"
    file.write_text("Clear\nNew Circuit.x bus1=a basekV=12.47\nNew Line.l bus1=a bus2=b lenth=1\n")
    with pytest.raises(FeederFault) as fault:
        Feeder.open(str(file))
    assert "line: 3" in str(fault.value)
    assert str(file) in str(fault.value)


def test_a_file_without_a_circuit_is_told_what_it_lacks(tmp_path: Path) -> None:
    file = tmp_path / "empty.dss"
    file.write_text("! nothing\n")
    with pytest.raises(FeederFault, match="defines no circuit"):
        Feeder.open(str(file))


@pytest.mark.parametrize(
    "command",
    [
        "DOScmd /c touch {outside}/made",
        "fileedit {outside}/made",
        "cd {outside}",
        "Set DataPath={outside}",
        "Export voltages",
        "Show voltages",
        "Save circuit",
    ],
)
def test_a_feeder_file_can_neither_write_beside_itself_nor_run_anything(
    tmp_path: Path, command: str
) -> None:
    """Untrusted input: it opens no editor and no shell, and moves nothing under our feet."""
    outside = tmp_path / "outside"
    home = tmp_path / "feeder"
    outside.mkdir()
    home.mkdir()
    file = home / "f.dss"
    file.write_text(
        f"Clear\nSet Editor=/usr/bin/touch\nNew Circuit.f bus1=a basekV=12.47\n"
        f"New Line.l bus1=a bus2=b length=1\nSet VoltageBases=[12.47]\nCalcVoltageBases\nSolve\n"
        f"{command.format(outside=outside)}\n"
    )
    before = Path.cwd()
    with contextlib.suppress(FeederFault):  # refusing the file is as good as ignoring the command
        Feeder.open(str(file), [DerPlacement(name="pv", bus="b")])
    assert Path.cwd() == before
    assert list(outside.iterdir()) == []
    assert list(home.iterdir()) == [file]


def test_the_shipped_feeder_says_where_it_comes_from() -> None:
    card = shipped()["segment13"]
    assert card.entry.is_file()
    assert "is not its own feeder" in " ".join(card.source.split())


def test_unbalance_is_seen_by_node(tmp_path: Path) -> None:
    file = tmp_path / "one.dss"
    file.write_text(
        "Clear\nNew Circuit.one bus1=a basekV=12.47 pu=1.0 MVAsc3=200 MVAsc1=200\n"
        "New Line.l bus1=a bus2=b length=5 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=400\n"
        "New Load.x bus1=b.2 phases=1 kV=7.2 kW=500 pf=0.95 model=1 vminpu=0.5 vmaxpu=1.5\n"
        "Set VoltageBases=[12.47]\nCalcVoltageBases\n"
    )
    feeder = Engine.open(str(file), [DerPlacement(name="pv", bus="B.2", phases=1)])
    flow = feeder.load_flow(Injections(p_kw={"pv": 500.0}, q_kvar={}, load_kw=500.0))
    low = feeder.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=500.0))
    assert flow.converged
    assert low.lowest()[0] == "B.2"
    assert flow.v_pu[flow.nodes.index("B.2")] > low.v_pu[low.nodes.index("B.2")]
