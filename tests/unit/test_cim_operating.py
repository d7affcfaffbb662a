"""The operating point of a CIM feeder: from scaling factors, and from measurements."""

import json
from pathlib import Path

import pytest

from feeders import Feeder, FeederFault
from feeders.cim import (
    CimFeeder,
    operating_point,
    operating_point_from_measurements,
    read_cim,
    read_values,
)
from tests.cim_files import ZOO_DERS, cim_object, exported, model, small_model, written, zoo


@pytest.fixture(scope="module")
def cim(tmp_path_factory: pytest.TempPathFactory) -> CimFeeder:
    folder = tmp_path_factory.mktemp("zoo")
    return read_cim(exported(str(zoo(folder / "given")), folder, ZOO_DERS))


def analog(mrid: str, of: str, phases: str = "ABC", kind: str = "VA") -> str:
    return cim_object(
        "Analog",
        mrid,
        Measurement__PowerSystemResource=f"#{of}",
        Measurement__Terminal=f"#t_{of}_1",
        Measurement__measurementType=kind,
        Measurement__phases=f"=PhaseCode.{phases}",
    )


@pytest.fixture
def measured(tmp_path: Path) -> CimFeeder:
    """One load and one PV measured, another of each not."""
    objects = small_model()
    base = {"ConductingEquipment__BaseVoltage": "#v", "Equipment__EquipmentContainer": "#feeder"}
    for mrid in ("load2", "pv2"):
        objects[f"t_{mrid}"] = cim_object(
            "Terminal",
            f"t_{mrid}_1",
            Terminal__ConductingEquipment=f"#{mrid}",
            Terminal__ConnectivityNode="#node",
        )
    objects["load2"] = cim_object(
        "EnergyConsumer", "load2", "barn", **base, EnergyConsumer__p="10000", EnergyConsumer__q="0"
    )
    objects["pv2"] = cim_object(
        "PowerElectronicsConnection",
        "pv2",
        "shed",
        Equipment__EquipmentContainer="#feeder",
        PowerElectronicsConnection__PowerElectronicsUnit="#unit",
        PowerElectronicsConnection__ratedS="15000",
    )
    for letter in "ABC":
        objects[f"m{letter}"] = analog(f"m{letter}", "load", letter)
    objects["mpv"] = analog("mpv", "pv")
    objects["volts"] = analog("volts", "load", "A", "PNV")
    return read_cim(written(tmp_path, model(objects)))


def test_loads_are_scaled_and_keep_their_power_factor(cim: CimFeeder) -> None:
    at = operating_point(cim, load=0.4).injections
    assert isinstance(at.load_kw, dict)
    assert isinstance(at.load_kvar, dict)
    assert at.load_kw["three"] == pytest.approx(48.0)
    assert at.load_kvar["three"] == pytest.approx(16.0)
    assert sum(at.load_kw.values()) == pytest.approx(0.4 * sum(x.p_kw for x in cim.loads))


def test_pv_is_scaled_by_its_unit_and_stays_within_its_inverter(cim: CimFeeder) -> None:
    assert operating_point(cim, pv=0.5).available_kw == {
        "utility": pytest.approx(50.0),
        "roof": pytest.approx(2.5),
        "onephase": pytest.approx(10.0),
    }
    assert operating_point(cim, pv=2.0).available_kw["utility"] == pytest.approx(120.0)


def test_batteries_and_generators_stand_as_the_file_has_them(cim: CimFeeder) -> None:
    at = operating_point(cim, load=0.1, pv=0.0).injections
    assert at.p_kw["giver"] == pytest.approx(20.0)
    assert at.p_kw["diesel"] == pytest.approx(40.0)
    assert at.q_kvar["diesel"] == pytest.approx(10.0)


def test_the_point_is_one_that_the_feeder_solves(cim: CimFeeder, tmp_path: Path) -> None:
    feeder = Feeder.open(str(cim.to_opendss(tmp_path)), cim.placements)
    dark = feeder.load_flow(operating_point(cim, load=0.3, pv=0.0).injections)
    bright = feeder.load_flow(operating_point(cim, load=0.3, pv=1.0).injections)
    feeder.close()
    assert dark.converged
    assert bright.converged
    assert dark.head_kw - bright.head_kw == pytest.approx(125.0, abs=5.0)
    assert bright.highest()[1] > dark.highest()[1]


@pytest.mark.parametrize("factor", [-0.1, float("nan"), float("inf")])
def test_a_factor_that_is_no_share_is_refused(cim: CimFeeder, factor: float) -> None:
    with pytest.raises(FeederFault, match="scaling factor pv"):
        operating_point(cim, pv=factor)


# --- measured ---------------------------------------------------------------------------


def test_measured_powers_are_summed_over_the_phases(measured: CimFeeder) -> None:
    values = {"mA": 10e3 + 1e3j, "mB": 20e3 + 2e3j, "mC": 15e3 + 3e3j}
    at = operating_point_from_measurements(measured, values).injections
    assert isinstance(at.load_kw, dict)
    assert isinstance(at.load_kvar, dict)
    assert at.load_kw["house"] == pytest.approx(45.0)
    assert at.load_kvar["house"] == pytest.approx(6.0)


def test_an_inverter_that_generates_measures_negative(measured: CimFeeder) -> None:
    point = operating_point_from_measurements(measured, {"mpv": -30e3 - 5e3j})
    assert point.injections.p_kw["roof"] == pytest.approx(30.0)
    assert point.injections.q_kvar["roof"] == pytest.approx(5.0)
    assert point.available_kw["roof"] == pytest.approx(30.0)


def test_what_is_not_measured_is_estimated_from_what_is_and_noted(measured: CimFeeder) -> None:
    values = {"mA": 15e3 + 0j, "mB": 15e3 + 0j, "mC": 15e3 + 0j, "mpv": -10e3 + 0j, "tap": 3 + 0j}
    point = operating_point_from_measurements(measured, values)
    at = point.injections
    assert isinstance(at.load_kw, dict)
    assert at.load_kw["barn"] == pytest.approx(5.0)  # half its nominal power, as the other
    assert at.p_kw["shed"] == pytest.approx(10.0)  # a fifth of 50 kW, as the other
    notes = " ".join(point.notes)
    assert all(word in notes for word in ("barn", "shed", "tap"))


def test_phases_that_are_missing_carry_what_the_others_do(measured: CimFeeder) -> None:
    at = operating_point_from_measurements(measured, {"mA": 10e3 + 0j}).injections
    assert isinstance(at.load_kw, dict)
    assert at.load_kw["house"] == pytest.approx(30.0)


def test_mrids_match_whatever_their_case_and_underscore(measured: CimFeeder) -> None:
    at = operating_point_from_measurements(measured, {"_MPV": -1e3 + 0j}).injections
    assert at.p_kw["roof"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"mA": complex("nan")}, "mA: not finite"),
        ({"volts": 120 + 0j}, "none of the 1 measured values"),
        ({}, "none of the 0 measured values"),
    ],
)
def test_values_that_are_no_powers_are_refused(
    measured: CimFeeder, values: dict[str, complex], told: str
) -> None:
    with pytest.raises(FeederFault, match=told):
        operating_point_from_measurements(measured, values)


def test_measurements_are_read_from_json_in_either_form(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"mA": {"p_w": 1200, "q_var": 300}, "tap": {"value": 3}}))
    assert read_values(path) == {"mA": 1200 + 300j}
    message = {"message": {"measurements": {"mB": {"magnitude": 5.0, "angle": 90.0}}}}
    path.write_text(json.dumps(message))
    assert read_values(path)["mB"] == pytest.approx(5j)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not JSON"),
        ("[1, 2]", "holds no measured power"),
        ('{"m": {"p_w": "many"}}', "not a finite number"),
        ('{"m": {"p_w": NaN}}', "not a finite number"),
        ('{"m": {"magnitude": 1, "angle": 1e999}}', "not a finite number"),
        ('{"m": {"p_w": 1' + "0" * 400 + "}}", "not a finite number"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_measurement_file_that_is_none_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(FeederFault, match=told):
        read_values(path)
