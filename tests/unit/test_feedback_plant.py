"""A true feeder that is not the modelled one: with feedback its limits hold, without they break."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ems.cycle import run_cycle
from ems.domain import (
    CycleRecord,
    DerReading,
    Feedback,
    Forecast,
    Injections,
    Limits,
    LoadFlow,
    Pv,
    PvForecast,
    Regulation,
    Site,
    Snapshot,
    Verified,
    terminals,
)
from ems.errors import DeviceError
from ems.gateways.memory import MemoryField
from ems.plant import GeneratedProfile, Plant
from ems.plant.astray import with_wrong_lengths
from ems.ports import History, Ports
from feeders import Feeder, shipped
from tests.own_text import open_own
from tests.sites import (
    AUTO,
    LOAD_KW,
    NOW,
    PRICE_USD_PER_KWH,
    GivenForecast,
    Kept,
    NoHistory,
    segment,
)

SITE = segment()
OPEN_LOOP = replace(AUTO, feedback=Feedback(on=False))
MODEL = shipped()["segment13"].entry.read_text(encoding="utf-8")
FEW = 3
"""Cycles after which no limit may be broken any more."""


@pytest.fixture(autouse=True)
def _every_dispatch_sent_is_seen_from_outside() -> None:
    """In place of the witness, which knows the model: here the true feeder itself is asked."""


def with_tap(text: str, tap: float) -> str:
    """The segment behind a transformer that stands on a tap."""
    behind = text.replace("bus1=B1  bus2=B2", "bus1=B1T bus2=B2")
    assert behind != text
    return behind.replace(
        "New Line.b1_b2",
        "New Transformer.head phases=3 windings=2 buses=(B1 B1T) conns=(wye wye) "
        f"kVs=(12.47 12.47) kVAs=(30000 30000) XHL=2 taps=(1.0 {tap})\nNew Line.b1_b2",
    )


class TrueField(MemoryField):
    """Devices on a feeder that is solved for the voltages they measure."""

    def __init__(
        self,
        site: Site,
        truth: Feeder,
        load_kw: float,
        p_kw: Mapping[str, float],
        head_v_pu: float | None = None,
        reactive_share: float = 1.0,
    ) -> None:
        super().__init__(site, load_kw, p_kw=p_kw)
        self._site = site
        self._truth = truth
        self._head_v_pu = head_v_pu
        self._reactive_share = reactive_share
        self._regulation: Regulation | None = None

    def flow(self) -> LoadFlow:
        share = self.load_kw / sum(load.kw for load in self._truth.loads)
        kvar = share * self._reactive_share
        flow = self._truth.load_flow(
            Injections(
                p_kw=self.p_kw,
                q_kvar=self.q_kvar,
                load_kw={x.name: share * x.kw for x in self._truth.loads},
                load_kvar={x.name: kvar * x.kvar for x in self._truth.loads},
                head_v_pu=self._head_v_pu,
                regulation=self._regulation,
            ),
            controls=self._truth.regulated,
        )
        assert flow.converged
        self._regulation = flow.regulation
        return flow

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        flow = self.flow()
        at = terminals([d.bus for d in self._site.ders], flow.nodes)
        v_pu = {d.name: float(flow.v_pu[at[d.bus]].mean()) for d in self._site.ders}
        return {
            n: replace(r, v_pu=v_pu[n]) if isinstance(r, DerReading) else r
            for n, r in super().read(now).items()
        }

    def violations(self) -> int:
        """Nodes of the TRUE feeder beyond the limits."""
        v, limits = self.flow().v_pu, self._site.limits
        return int((v > limits.v_max_pu).sum() + ((v > 0.0) & (v < limits.v_min_pu)).sum())


@dataclass(frozen=True, kw_only=True)
class World:
    """A true feeder, and the model it is run on."""

    true: str = MODEL
    model: str = MODEL
    head_v_pu: float | None = None
    reactive_share: float = 1.0


Run = Callable[[World, bool], tuple[list[int], list[CycleRecord]]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Eight cycles: violations in the true feeder after each, and the records."""
    with ExitStack() as stack:

        def opened(name: str, text: str) -> Feeder:
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (folder / "feeder.dss").write_text(text, encoding="utf-8")
            if text == MODEL:
                feeder = Feeder.open("segment13", SITE.placements)
            else:
                feeder = open_own(folder / "feeder.dss", SITE.placements)
            stack.callback(feeder.close)
            return feeder

        def cycles(world: World, feedback: bool) -> tuple[list[int], list[CycleRecord]]:
            field = TrueField(
                SITE, opened("true", world.true), LOAD_KW, {"pv": 7000.0, "dg": 2997.0},
                world.head_v_pu, world.reactive_share,
            )  # fmt: skip
            sky = GivenForecast(10_000.0, 10_000.0)
            ports = Ports(
                field=field, network=opened("model", world.model), history=NoHistory(),
                forecaster=sky, journal=Kept(),
            )  # fmt: skip
            policy = AUTO if feedback else OPEN_LOOP
            broken: list[int] = []
            records: list[CycleRecord] = []
            for k, (load_kw, sun_kw) in enumerate(DAY):
                field.load_kw = load_kw
                sky.expected_kw = sky.upper_kw = field.available_kw["pv"] = sun_kw
                cap = field.cap_kw["pv"]
                field.p_kw["pv"] = sun_kw if cap is None else min(cap, sun_kw)
                now = NOW + timedelta(minutes=15 * k)
                last = records[-1] if records else None
                records.append(run_cycle(SITE, policy, PRICE_USD_PER_KWH, ports, now, last))
                broken.append(field.violations())
            return broken, records

        yield cycles


DAY: Sequence[tuple[float, float]] = (
    *[(LOAD_KW, 10_000.0)] * 3,
    (LOAD_KW * 1.01, 2500.0),  # a cloud
    (LOAD_KW, 9000.0),
    (LOAD_KW * 0.985, 10_000.0),
    *[(LOAD_KW, 10_000.0)] * 2,
)
"""Load and sun of each cycle [kW]."""

WRONG = {
    "line lengths": World(true=with_wrong_lengths(MODEL, 15.0, 5)),
    "load power factor": World(reactive_share=0.8),
    "tap": World(model=with_tap(MODEL, 1.0), true=with_tap(MODEL, 1.0125)),
    "head voltage": World(head_v_pu=1.06),
    "all of them": World(
        model=with_tap(MODEL, 1.0),
        true=with_wrong_lengths(with_tap(MODEL, 1.00625), 15.0, 3),
        reactive_share=0.8,
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_in_the_model_breaks_limits_for_ever_without_feedback_and_not_with_it(
    run: Run, what: str
) -> None:
    without, _ = run(WRONG[what], False)
    with_feedback, records = run(WRONG[what], True)
    sunny = [n for n, (_, sun_kw) in zip(without, DAY, strict=True) if sun_kw > 5000.0]
    assert min(sunny[FEW:]) > 0
    assert with_feedback[FEW:] == [0] * len(with_feedback[FEW:])
    assert all(isinstance(r.secured, Verified) for r in records)


@pytest.mark.parametrize("seed", range(1, 7))
def test_with_feedback_no_lengths_within_fifteen_percent_break_a_limit(run: Run, seed: int) -> None:
    broken, _ = run(World(true=with_wrong_lengths(MODEL, 15.0, seed)), True)
    assert broken[FEW:] == [0] * len(broken[FEW:])


def test_a_model_that_is_right_is_left_alone(run: Run) -> None:
    _, records = run(World(), True)
    _, plain = run(World(), False)
    assert all(abs(one.upper_pu) < 1e-9 for r in records for one in r.mismatch.values())
    caps = [[r.secured.dispatch.setpoints["pv"].cap_kw for r in rs] for rs in (records, plain)]
    assert caps[0] == pytest.approx(caps[1], abs=0.01)
    assert not any("modelled" in alarm for r in records for alarm in r.alarms)


def test_a_lasting_difference_is_an_alarm_that_names_the_bus_and_what_to_check(run: Run) -> None:
    _, records = run(WRONG["head voltage"], True)
    assert not records[0].alarms
    told = [alarm for alarm in records[-1].alarms if alarm.startswith("B13: measured")]
    assert len(told) == 1
    assert "over 8 cycles; check line lengths, load power factor or taps" in told[0]


def test_what_the_record_promises_is_what_the_true_feeder_does(run: Run) -> None:
    """Voltages of the record are corrected ones: those then measured, with a little caution."""
    _, records = run(WRONG["line lengths"], True)
    flow = records[-2].secured.load_flow
    promised = float(flow.v_pu[terminals(["B13"], flow.nodes)["B13"]].mean())
    seen = records[-1].mismatch["B13"]
    assert seen.measured_pu is not None
    assert seen.difference_pu is not None
    assert 0.0 <= promised - seen.measured_pu < 2e-3
    assert seen.difference_pu > 4e-3


IEEE13 = Site(
    name="ieee13", latitude_deg=37.0, longitude_deg=-122.0, load_max_kw=3600.0, load_min_kw=500.0,
    limits=Limits(v_min_pu=0.95, v_max_pu=1.05),
    ders=tuple(
        Pv(name=f"pv{n}", bus=f"675.{n}", phases=1, rated_kw=700.0, q_max_kvar=50.0)
        for n in (1, 2, 3)
    ),
)  # fmt: skip
"""A PV plant on each phase, so that each phase is measured."""


class FullSun:
    def predict(self, site: Site, snapshot: Snapshot, history: History) -> Forecast:  # noqa: ARG002
        pv = {
            p.name: PvForecast(
                expected_kw=p.rated_kw, lower_kw=0.0, upper_kw=p.rated_kw, method="given"
            )
            for p in site.pvs
        }
        return Forecast(start=snapshot.time, load_kw=snapshot.load.p_kw, pv=pv)


def on_ieee13(truth: Feeder, model: Feeder, *, feedback: bool) -> list[int]:
    """Violations in the true feeder over six cycles."""
    field = TrueField(IEEE13, truth, 1400.0, dict.fromkeys(IEEE13.names, 300.0))
    ports = Ports(
        field=field, network=model, history=NoHistory(), forecaster=FullSun(), journal=Kept()
    )
    broken, last = [], None
    for k in range(6):
        now = NOW + timedelta(minutes=15 * k)
        last = run_cycle(IEEE13, AUTO if feedback else OPEN_LOOP, 0.3, ports, now, last)
        broken.append(field.violations())
    return broken


def test_regulators_that_hold_another_voltage_than_the_model_says_are_found_out(
    tmp_path: Path,
) -> None:
    """IEEE 13 with its three regulators set to 124.5 V in truth, 122 V in the model."""
    text = shipped()["ieee13"].entry.read_text(encoding="utf-8")
    wrong = text.replace("vreg=122", "vreg=124.5")
    assert wrong != text
    (tmp_path / "true.dss").write_text(wrong, encoding="utf-8")
    with ExitStack() as stack:
        truth = open_own(tmp_path / "true.dss", IEEE13.placements)
        stack.callback(truth.close)
        model = Feeder.open("ieee13", IEEE13.placements)
        stack.callback(model.close)
        without = on_ieee13(truth, model, feedback=False)
        with_feedback = on_ieee13(truth, model, feedback=True)
    assert min(without) > 0
    assert with_feedback[FEW:] == [0, 0, 0]


def test_the_plant_can_be_told_to_be_another_feeder_than_its_file() -> None:
    start = datetime(2024, 6, 3, 20, tzinfo=UTC)
    profile = GeneratedProfile(SITE, 1, date(2024, 6, 3))
    with ExitStack() as stack:
        plants = [
            Plant(SITE, "segment13", profile, start),
            Plant(SITE, "segment13", profile, start, head_v_pu=1.06),
            Plant(SITE, "segment13", profile, start, reactive_share=0.5),
        ]
        for plant in plants:
            stack.callback(plant.close)
        right, raised, light = (plant.truth() for plant in plants)
    assert raised.load_flow.lowest()[1] > right.load_flow.lowest()[1] + 0.008
    assert light.load_kvar == pytest.approx(0.5 * right.load_kvar)
    assert light.load_kw == pytest.approx(right.load_kw)


def test_wrong_lengths_stay_within_their_spread_and_follow_their_seed() -> None:
    text = "New Line.a length=2.0 units=mi\nnew line.b LENGTH=0.5"
    wrong = with_wrong_lengths(text, 15.0, 1)
    lengths = [float(word.partition("=")[2]) for word in wrong.split() if "ength" in word.lower()]
    assert 1.7 <= lengths[0] <= 2.3
    assert 0.425 <= lengths[1] <= 0.575
    assert wrong == with_wrong_lengths(text, 15.0, 1)
    assert wrong != with_wrong_lengths(text, 15.0, 2)
