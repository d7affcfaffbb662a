"""The site file: what it becomes, what lies over it, and what is refused."""

import re
from pathlib import Path

import pytest

from ems.domain import Bes, DeviceAddress, Dg, Pv
from ems.errors import BadInput
from ems.settings import TEMPLATE, check, load_settings
from ems.settings.faults import nearest_key, unknown_key
from ems.settings.hosts import is_loopback
from ems.settings.schema import DERS, Settings, model_of

REMOTE = 'host = "127.0.0.1", port = 5021'


def template(folder: Path, *changes: tuple[str, str]) -> Path:
    """The shipped site file with some words changed."""
    text = TEMPLATE.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


def told(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(BadInput) as refused:
        load_settings(path, environ or {})
    return [str(fault) for fault in refused.value.faults]


# --- what it becomes -----------------------------------------------------------------


def test_the_shipped_site_is_the_published_one() -> None:
    site = load_settings(TEMPLATE, {}).to_site()
    pv, bes, dg = site.ders
    assert isinstance(pv, Pv)
    assert isinstance(bes, Bes)
    assert isinstance(dg, Dg)
    assert (pv.bus, pv.rated_kw) == ("B13", 10_000)
    assert (bes.bus, bes.rated_kw, bes.soc_min_pct, bes.eta_charge) == ("B11", 200, 20, 0.92)
    assert (dg.bus, dg.rated_kw, dg.cost_usd_per_kwh, dg.q_max_kvar) == ("B7", 3000, 0.1, 400)
    assert (site.limits.v_min_pu, site.limits.v_max_pu) == (0.88, 1.10)
    assert site.load_max_kw == 14_500


def test_every_der_and_the_load_meter_have_an_address() -> None:
    addresses = load_settings(TEMPLATE, {}).addresses()
    assert set(addresses) == {"pv", "bes", "dg", "load"}
    assert addresses["load"] == DeviceAddress(host="127.0.0.1", port=5020)


def test_the_preset_sets_the_limits_and_a_number_overrides_one_end(tmp_path: Path) -> None:
    path = template(
        tmp_path, ('preset = "ieee_1547_continuous"', 'preset = "ansi_c84_1_a"\nv_max_pu = 1.04')
    )
    limits = load_settings(path, {}).to_site().limits
    assert (limits.v_min_pu, limits.v_max_pu) == (0.95, 1.04)


def test_loading_may_be_left_unwatched(tmp_path: Path) -> None:
    path = template(tmp_path, ("[limits]", "[limits]\nwatch_loading = false"))
    assert load_settings(path, {}).to_site().limits.loading_max_pct is None


def test_a_ramp_left_out_is_no_limit(tmp_path: Path) -> None:
    path = template(tmp_path, ("ramp_up_kw_per_h = 3000\n", ""))
    (dg,) = load_settings(path, {}).to_site().dgs
    assert dg.ramp_up_kw_per_h == float("inf")
    assert dg.ramp_down_kw_per_h == 3000


def test_the_point_of_common_coupling_asks_nothing_until_it_is_written(tmp_path: Path) -> None:
    plain = load_settings(TEMPLATE, {}).to_site()
    assert (plain.export_price_usd_per_kwh, plain.import_limit_kw, plain.export_limit_kw) == (
        None, None, None,
    )  # fmt: skip
    assert (plain.demand_charge_usd_per_kw, plain.power_factor_min) == (0.0, None)
    path = template(
        tmp_path,
        ("[grid]", "[grid]\nexport_limit_kw = 500\npower_factor_min = 0.95"),
        ("[grid]", "[grid]\nexport_price_usd_per_kwh = 0.08\ndemand_charge_usd_per_kw = 12.5"),
        ("[dispatch]", "[dispatch]\ncurtailment_usd_per_kwh = 0.03"),
    )
    site = load_settings(path, {}).to_site()
    assert (site.export_limit_kw, site.power_factor_min) == (500.0, 0.95)
    assert (site.export_price_usd_per_kwh, site.demand_charge_usd_per_kw) == (0.08, 12.5)
    assert site.curtailment_usd_per_kwh == 0.03


def test_the_solver_and_its_time_may_be_named(tmp_path: Path) -> None:
    path = template(
        tmp_path, ("[control]", '[control]\nsolver = "ipopt"\nsolver_limit_s = 7'),
        ("rated_kw = 10000", "rated_kw = 10000\ns_max_kva = 11000"),
    )  # fmt: skip
    settings = load_settings(path, {})
    assert settings.to_site().solver == "ipopt"
    assert settings.to_policy().solver_limit_s == 7.0
    assert settings.to_site().pvs[0].s_max_kva == 11_000.0


def test_paths_are_relative_to_the_site_file(tmp_path: Path) -> None:
    path = template(tmp_path, ('"segment13"\n\n# Voltage', '"grid/master.dss"\n\n# Voltage'))
    settings = load_settings(path, {})
    assert settings.feeder_source() == str(tmp_path / "grid" / "master.dss")
    assert settings.store_path() == tmp_path / "geems.sqlite"
    assert load_settings(TEMPLATE, {}).feeder_source() == "segment13"


def test_own_periods_make_a_tariff_in_the_zone_of_the_site(tmp_path: Path) -> None:
    own = """[[tariff.period]]
name = "night"
usd_per_kwh = 0.1
windows = [{ days = "all", start = "22:00", end = "24:00" }]
[[tariff.period]]
name = "day"
usd_per_kwh = 0.3
[dispatch]"""
    path = template(
        tmp_path,
        ('name = "pge_a6_2019_summer"\noutside_season_usd_per_kwh = 0.22\n', ""),
        ("[dispatch]", own),
    )
    tariff = load_settings(path, {}).to_tariff()
    assert tariff.zone.key == "America/Los_Angeles"
    assert [p.name for p in tariff.periods] == ["night", "day"]


# --- who writes ----------------------------------------------------------------------


def test_control_is_auto_when_every_device_is_on_this_machine() -> None:
    assert load_settings(TEMPLATE, {}).to_policy().control == "auto"


def test_one_remote_device_makes_control_advisory(tmp_path: Path) -> None:
    path = template(tmp_path, (REMOTE, REMOTE.replace("127.0.0.1", "10.0.0.5")))
    assert load_settings(path, {}).to_policy().control == "advisory"


def test_auto_towards_a_remote_device_must_be_written(tmp_path: Path) -> None:
    path = template(
        tmp_path,
        (REMOTE, REMOTE.replace("127.0.0.1", "10.0.0.5")),
        ("[control]", '[control]\nmode = "auto"'),
    )
    assert load_settings(path, {}).to_policy().control == "auto"


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),  # noqa: S104 - the address that is refused
        ("::", False),
        ("10.0.0.5", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, near: bool) -> None:
    assert is_loopback(host) is near


@pytest.mark.parametrize(
    "host",
    [
        *("10.0.0.5", "::1", "fe80::1%eth0", "localhost", "inverter-1", "Inverter-1.Lan."),
        *("my_meter", "3com.lan", "größe.lan", "a" * 63 + ".lan"),
    ],
)
def test_a_host_is_a_name_or_an_address(tmp_path: Path, host: str) -> None:
    path = template(tmp_path, (REMOTE, REMOTE.replace("127.0.0.1", host)))
    assert host in {a.host for a in load_settings(path, {}).addresses().values()}


@pytest.mark.parametrize(
    "host",
    [
        *("http://x y", "http://10.0.0.5", "10.0.0.5:502", "10.0.0.256", "10.0.0", "502", "[::1]"),
        *("", " ", "x y", "a..b", ".lan", "-a", "a-", "a/b", "a" * 64, "a." * 127 + "a"),
    ],
)
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    path = template(tmp_path, (REMOTE, REMOTE.replace("127.0.0.1", host)))
    with pytest.raises(BadInput, match="is no host name or address") as caught:
        load_settings(path, {})
    assert len(caught.value.faults) == 1


# --- what lies over the file ---------------------------------------------------------


def test_the_environment_overrides_the_file() -> None:
    settings = load_settings(
        TEMPLATE,
        {
            "GEEMS_WEB__PORT": "8090",
            "GEEMS_LIMITS__V_MAX_PU": "1.05",
            "GEEMS_LOAD__DEVICE__HOST": "10.0.0.9",
            "GEEMS_LIMITS__WATCH_LOADING": "false",
            "UNRELATED": "x",
        },
    )
    assert settings.web.port == 8090
    assert settings.to_site().limits.v_max_pu == 1.05
    assert settings.to_site().limits.loading_max_pct is None
    assert settings.addresses()["load"].host == "10.0.0.9"
    assert settings.addresses()["load"].port == 5020


def test_a_secret_in_a_file_overrides_the_site_file_and_yields_to_the_environment(
    tmp_path: Path,
) -> None:
    (tmp_path / "geems_web__port").write_text("8091\n", encoding="utf-8")
    (tmp_path / "geems_site__name").write_text("hidden", encoding="utf-8")
    environ = {"GEEMS_SECRETS_DIR": str(tmp_path), "GEEMS_WEB__PORT": "8092"}
    settings = load_settings(TEMPLATE, environ)
    assert settings.site.name == "hidden"
    assert settings.web.port == 8092


def test_a_wrong_variable_is_named_as_the_environments() -> None:
    faults = told(
        TEMPLATE,
        {
            "GEEMS_WEB__PORT": "many",
            "GEEMS_WEB__PROT": "1",
            "GEEMS_WEBS__PORT": "1",
            "GEEMS_PV__0__RATED_KW": "5",
            "GEEMS_SECRETS_DIR": "/nowhere/at/all",
        },
    )
    assert any(f.startswith("environment GEEMS_WEBS__PORT: names no setting") for f in faults)
    assert any(f.startswith("environment GEEMS_PV__0__RATED_KW: names no") for f in faults)
    assert 'environment GEEMS_WEB__PORT: expected a whole number, got "many"' in faults
    assert "environment GEEMS_WEB__PROT: unknown key; did you mean port?" in faults
    assert any(f.startswith("environment GEEMS_SECRETS_DIR:") for f in faults)
    assert len(faults) == 5


# --- what is refused -----------------------------------------------------------------


def test_a_missing_file_says_how_to_start(tmp_path: Path) -> None:
    (fault,) = told(tmp_path / "site.toml")
    assert fault.startswith("site.toml: no such file in ")
    assert "geems init" in fault


def test_a_folder_and_a_file_of_another_encoding_are_told(tmp_path: Path) -> None:
    (fault,) = told(tmp_path)
    assert "cannot be read" in fault
    latin = tmp_path / "site.toml"
    latin.write_bytes('name = "Höhe"'.encode("latin-1"))
    assert told(latin) == ["site.toml: is not UTF-8 text (byte 9)"]


def test_localhost_and_its_address_are_one_device(tmp_path: Path) -> None:
    path = template(tmp_path, ('"127.0.0.1", port = 5022', '"localhost", port = 5021'))
    assert told(path) == [
        "site.toml: bes[0].device: localhost:5021 unit 1 is the device of pv[0] too"
    ]


def test_keys_of_an_own_tariff_are_refused_beside_a_named_one(tmp_path: Path) -> None:
    path = template(tmp_path, ("[tariff]", '[tariff]\nzone = "UTC"'))
    assert told(path) == ["site.toml: tariff.zone: belongs to [[tariff.period]], and there is none"]


@pytest.mark.parametrize(
    ("key", "mend"),
    [
        ("rated_kW", "unknown key; did you mean rated_kw?"),
        ("rated_mw", "unknown key; powers are in kW: rated_kw"),
        ("rated_kvar", "unknown key; powers are in kW: rated_kw"),
        ("ratd_kw", "unknown key; did you mean rated_kw?"),
        ("rated", "unknown key; did you mean rated_kw?"),
        ("soc_min_percent", "unknown key; percentages are written _pct, 0 to 100: soc_min_pct"),
        ("timeout_ms", "unknown key; times are in seconds: timeout_s"),
        ("price_usd_per_mwh", "unknown key; prices are in $/kWh: price_usd_per_kwh"),
        ("zzz", "unknown key; known: rated_kw, soc_min_pct, timeout_s, price_usd_per_kwh"),
    ],
)
def test_an_unknown_key_is_told_with_its_mend(key: str, mend: str) -> None:
    known = ("rated_kw", "soc_min_pct", "timeout_s", "price_usd_per_kwh")
    assert unknown_key(key, known) == mend


def test_a_word_like_no_key_has_no_nearest_key() -> None:
    assert nearest_key("zzz", ["rated_kw"]) is None


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("pge_a6_2019", 'did you mean "pge_a6_2019_summer"?'),
        ("pge_a7", 'did you mean "pge_a6_2019_summer"?'),
        ("PGE_A10", 'did you mean "pge_a10_2019_summer"?'),
        ("E19", 'did you mean "pge_e19_secondary_2019_summer"?'),
        ("zzz", "known: pge_a6_2019_summer, "),
    ],
)
def test_a_misspelt_tariff_is_told_with_its_mend(tmp_path: Path, name: str, mend: str) -> None:
    path = template(tmp_path, ('"pge_a6_2019_summer"', f'"{name}"'))
    (fault,) = check(path, {}).faults
    assert fault.place == "site.toml: tariff.name"
    assert fault.problem.partition("; ")[2].startswith(mend)


def test_highs_is_refused_where_an_inverter_makes_the_problem_quadratic(tmp_path: Path) -> None:
    path = template(
        tmp_path, ("[control]", '[control]\nsolver = "highs"'),
        ("rated_kw = 10000", "rated_kw = 10000\ns_max_kva = 10000"),
    )  # fmt: skip
    (fault,) = told(path)
    assert fault.startswith("site.toml: control.solver: pv[0] has s_max_kva, which is quadratic")


def test_an_inverter_is_not_rated_beyond_its_capability(tmp_path: Path) -> None:
    path = template(tmp_path, ("rated_kw = 10000", "rated_kw = 10000\ns_max_kva = 9000"))
    assert told(path) == ["site.toml: pv[0].rated_kw: must be at most s_max_kva (9000), got 10000"]


def test_an_empty_tariff_is_told_what_it_lacks(tmp_path: Path) -> None:
    lines = '"pge_a6_2019_summer"\noutside_season_usd_per_kwh = 0.22'
    assert lines in TEMPLATE.read_text()
    path = template(tmp_path, (f"name = {lines}", ""))
    (fault,) = check(path, {}).faults
    assert str(fault).startswith("site.toml: tariff: give one of name, flat_usd_per_kwh or ")


def test_buses_are_known_even_where_other_keys_are_wrong(tmp_path: Path) -> None:
    path = template(tmp_path, ("rated_kw = 10000", "rated_mw = 10"))
    checked = check(path, {})
    assert checked.settings is None
    assert checked.feeder_source == "segment13"
    assert checked.buses == {
        "site.toml: pv[0].bus": "B13",
        "site.toml: bes[0].bus": "B11",
        "site.toml: dg[0].bus": "B7",
    }


# --- documentation -------------------------------------------------------------------


def described_keys() -> dict[str, set[str]]:
    """Keys in the tables of docs/configuration.md, by heading."""
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    keys: dict[str, set[str]] = {}
    heading = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ").strip("`[] ").partition("]")[0]
        elif (row := re.match(r"\| `(\w+)`", line)) is not None:
            keys.setdefault(heading, set()).add(row[1])
    return keys


@pytest.mark.parametrize("section", list(Settings.model_fields))
def test_every_setting_is_documented(section: str) -> None:
    table = model_of(Settings.model_fields[section].annotation)
    assert table is not None
    assert described_keys().get(section) == set(table.model_fields)


def test_the_shipped_site_shows_every_section() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    for section in Settings.model_fields:
        assert (f"[[{section}]]" if section in DERS else f"[{section}]") in text


# --- MQTT ------------------------------------------------------------------------------


def test_nobody_is_told_anything_unless_a_broker_is_named(tmp_path: Path) -> None:
    assert load_settings(template(tmp_path), {}).mqtt is None


def test_a_broker_has_the_port_of_its_kind_and_a_password_from_its_file(tmp_path: Path) -> None:
    from ems.mqtt.site import broker_of

    (tmp_path / "secret").write_text("open sesame\n", encoding="utf-8")
    named = '[mqtt]\nhost = "10.0.0.2"\ntls = true\nusername = "geems"\npassword_file = "secret"'
    broker = broker_of(load_settings(template(tmp_path, ("[[pv]]", f"{named}\n[[pv]]")), {}))
    assert broker is not None
    assert (broker.port, broker.username, broker.password) == (8883, "geems", "open sesame")


def test_what_a_broker_lacks_is_told_all_at_once(tmp_path: Path) -> None:
    wrong = (
        '[mqtt]\nhost = "10.0.0.2"\npassword_file = "secret"\nca_file = "ca.pem"\n'
        'prefix = "a/+"\n[[pv]]'
    )
    assert told(template(tmp_path, ("[[pv]]", wrong))) == [
        (
            'site.toml: mqtt.prefix: "a/+" is no topic: write levels with / between them, without '
            'spaces, + and #, as "plant/geems"'
        ),
        (
            "site.toml: mqtt.password_file: a password would cross the network in clear; "
            "set tls = true"
        ),
        "site.toml: mqtt.username: missing: a password needs an account",
        "site.toml: mqtt.ca_file: has no effect without TLS; set tls = true, or leave it out",
    ]
