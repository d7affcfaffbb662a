"""`geems init --example`: site files to start from."""

from contextlib import closing
from pathlib import Path

from click.testing import CliRunner

from ems.cli import main
from ems.cli.examples import EXAMPLES
from ems.cli.outcome import Exit
from ems.settings import TEMPLATE, Settings, load_settings
from feeders import Feeder
from feeders.topology import topology


def ieee123(folder: Path) -> Settings:
    path = folder / "site.toml"
    path.write_text(EXAMPLES["ieee123"](), encoding="utf-8")
    return load_settings(path, {})


def test_without_a_name_it_is_the_reference_feeder() -> None:
    assert EXAMPLES["segment13"]() == TEMPLATE.read_text(encoding="utf-8")


def test_the_ieee_123_example_is_written_and_validates_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "mysite"
    written = CliRunner().invoke(main, ["init", "--example", "ieee123", str(folder)])
    assert written.exit_code == Exit.OK, written.output
    checked = CliRunner().invoke(main, ["validate", str(folder / "site.toml")])
    assert checked.exit_code == Exit.OK
    assert checked.stdout.splitlines() == [
        f"{folder / 'site.toml'}: ok",
        "mode: auto (every device is on this machine)",
    ]


def test_it_has_a_plant_at_every_primary_bus_with_a_load(tmp_path: Path) -> None:
    settings = ieee123(tmp_path)
    with closing(Feeder.open("ieee123", settings.to_site().placements)) as feeder:
        loads, nominal_kw = topology(feeder).loads, {x.name: x.kw for x in feeder.loads}
    assert len(settings.pv) == 85
    assert {pv.bus.partition(".")[0] for pv in settings.pv} == {load.at for load in loads}
    for pv in settings.pv:
        load = next(x for x in loads if x.name == pv.name.replace("pv_", "load_"))
        assert pv.phases == load.phases
        assert pv.bus in (load.at, ".".join(load.bus.split(".")[:2]))
        assert pv.rated_kw == 2.5 * nominal_kw[load.name]


def test_each_of_its_devices_has_a_port_of_its_own(tmp_path: Path) -> None:
    settings = ieee123(tmp_path)
    ports = [settings.load.device.port, *(pv.device.port for pv in settings.pv)]
    assert len(set(ports)) == 86
    assert max(ports) - min(ports) == 85


def test_an_unknown_example_is_refused_with_those_there_are(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["init", "--example", "ieee124", str(tmp_path / "x")])
    assert result.exit_code == Exit.BAD_INPUT
    assert "ieee123" in result.stderr
    assert not (tmp_path / "x").exists()
