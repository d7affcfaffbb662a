"""Administration of the IEEE 2030.5 server over real TLS, by certificate and by token."""

import json
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ems.derms.certificates import Pki, make_pki
from tests.derms_process import Caller, Got, Serving, serving, write_file

TOKEN = secrets.token_urlsafe(32)
WITH_TOKEN = {"admin_token_file": '"token"'}
"""As the file names it."""
DEVICES = """
[[ieee2030_5.device]]
name = "one"
lfdi = "{one}"
pin = 111115
groups = ["feeder"]
der = [{{ rated_kw = 5, rated_charge_kw = 4, modes = ["fixed_w", "max_lim_w"] }}]

[[ieee2030_5.program]]
name = "feeder"
primacy = 5
"""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    return make_pki(folder, ["one", "two", "three"], administrators=["operator"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("derms")
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN, encoding="utf-8")
    rest = DEVICES.format(one=pki.device["one"].lfdi)
    with serving(write_file(folder, pki, rest, **WITH_TOKEN), pki) as served:
        yield served


@pytest.fixture
def admin(server: Serving, pki: Pki) -> Iterator[Caller]:
    with server.caller(pki.administrator["operator"]) as caller:
        yield caller


@pytest.fixture
def device(server: Serving, pki: Pki) -> Iterator[Caller]:
    with server.caller(pki.device["one"]) as caller:
        yield caller


def faults(got: Got) -> list[str]:
    assert got.status == 422, (got.status, got.body)
    return sorted(f"{fault['place']}: {fault['problem']}" for fault in got.json["detail"])


# --- who may ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/admin/v1/devices", "/admin/openapi.json", "/admin/nowhere"])
def test_a_device_learns_nothing_of_the_administration(device: Caller, path: str) -> None:
    got = device.ask("GET", path)
    assert got.status == 403
    assert "is no administrator" in got.json["detail"]


def test_the_token_opens_to_whoever_has_a_certificate_of_ours(device: Caller) -> None:
    got = device.ask("GET", "/admin/v1/status", authorization=f"Bearer {TOKEN}")
    assert got.status == 200
    assert got.json["devices"] >= 1


@pytest.mark.parametrize("given", ["Bearer wrong", "Basic {token}", "Bearer {token}x", "Bearer"])
def test_any_other_token_does_not_open(device: Caller, given: str) -> None:
    got = device.ask("GET", "/admin/v1/status", authorization=given.format(token=TOKEN))
    assert got.status == 401
    assert got.headers["www-authenticate"] == "Bearer"


def test_the_interface_describes_itself_to_administrators(admin: Caller) -> None:
    document = admin.get("/admin/openapi.json").json
    assert "/admin/v1/programs/{name}/controls" in document["paths"]


# --- devices, programs, controls ---------------------------------------------------------


def test_a_device_that_is_registered_may_speak_at_once_and_no_more_when_it_is_disabled(
    admin: Caller, server: Serving, pki: Pki
) -> None:
    two = pki.device["two"]
    with server.caller(two) as caller:
        assert caller.ask("GET", "/derp").status == 403
        new = {"name": "two", "lfdi": two.lfdi, "pin": 111115, "groups": ["feeder"]}
        made = admin.told("POST", "/admin/v1/devices", new)
        assert (made.status, made.json["sfdi"]) == (201, two.sfdi)
        assert caller.get("/derp").texts("DERProgram/description") == ["feeder"]
        assert caller.get(f"{made.json['href']}/reg").texts("pIN") == ["111115"]
        changed = admin.told("PATCH", "/admin/v1/devices/two", {"enabled": False})
        assert changed.json["enabled"] is False
        assert caller.ask("GET", "/derp").status == 403
        assert admin.ask("DELETE", "/admin/v1/devices/two").status == 204
        assert admin.ask("GET", "/admin/v1/devices/two").status == 404


def test_a_device_with_faults_is_told_all_of_them_and_is_not_registered(admin: Caller) -> None:
    before = admin.get("/admin/v1/devices").json["all"]
    wrong = {"name": "9", "lfdi": "AB", "pin": 123456, "category": ["toaster"], "pni": 1}
    said = faults(admin.told("POST", "/admin/v1/devices", wrong))
    assert [one.partition(":")[0] for one in said] == ["category.0", "lfdi", "name", "pin", "pni"]
    assert "123451 has the right one" not in said[3]
    assert "wrong check digit" in said[3]
    assert admin.get("/admin/v1/devices").json["all"] == before


def test_a_name_or_a_certificate_twice_is_a_conflict(admin: Caller, pki: Pki) -> None:
    one = pki.device["one"].lfdi
    again = admin.told("POST", "/admin/v1/devices", {"name": "other", "lfdi": one})
    assert again.status == 409
    assert "one" in again.json["detail"]


def test_a_control_is_published_seen_by_the_device_answered_and_cancelled(
    admin: Caller, device: Caller, pki: Pki
) -> None:
    asked = {
        "duration_s": 600,
        "base": {"max_lim_w_pct": 57.399, "fixed_pf_inject": {"pf": 0.95, "excitation": "under"}},
    }
    published = admin.told("POST", "/admin/v1/programs/feeder/controls", asked)
    assert published.status == 201
    mrid = published.json["mrid"]
    assert published.json["state"] == "active"
    assert published.json["base"]["max_lim_w_pct"] == 57.39  # never more than was asked
    seen = device.get(published.json["href"])
    assert seen.texts("DERControlBase/opModMaxLimW") == ["5739"]
    assert seen.texts("DERControlBase/opModFixedPFInjectW/excitation") == ["true"]
    lfdi = pki.device["one"].lfdi
    answer = (
        f"<DERControlResponse><endDeviceLFDI>{lfdi}</endDeviceLFDI><status>2</status>"
        f"<subject>{mrid}</subject></DERControlResponse>"
    )
    assert device.send("POST", "/rsps/1/r", answer).status == 201
    told = admin.get(f"/admin/v1/controls/{mrid}").json
    assert [(r["lfdi"], r["status"]) for r in told["responses"]] == [(lfdi, 2)]
    path = f"/admin/v1/programs/feeder/controls/{mrid}/cancel"
    assert admin.told("POST", path, {}).json["state"] == "cancelled"
    assert device.get(published.json["href"]).texts("EventStatus/currentStatus") == ["2"]


def test_a_control_with_faults_is_told_and_not_published(admin: Caller) -> None:
    path = "/admin/v1/programs/feeder/controls"
    before = len(admin.get(path).json)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"duration_s": 60, "base": {}}, "base: asks for nothing"),
        ({"duration_s": 60, "base": {"max_lim_w_pct": 101}}, "base.max_lim_w_pct:"),
        ({"duration_s": 60, "base": {"volt_var": "none"}}, "base: there is no curve"),
        ({"duration_s": 60, "start": "soon", "base": {"connect": True}}, "start:"),
        ({"duration_s": 60, "start": "2020-01-01T00:00:00Z", "base": {"connect": True}}, "control"),
        (
            {
                "duration_s": 60,
                "start_in_s": 1,
                "start": "2030-01-01T00:00:00Z",
                "base": {"connect": True},
            },
            "start: give one of",
        ),
    ]
    for asked, said in wrong:
        assert faults(admin.told("POST", path, asked))[0].startswith(said)
    assert len(admin.get(path).json) == before
    lost = admin.told("POST", "/admin/v1/programs/nowhere/controls", wrong[1][0] | {"base": {}})
    assert lost.status in (404, 422)


def test_programs_groups_curves_and_defaults_are_made_changed_and_dropped(
    admin: Caller, device: Caller
) -> None:
    curve = {"name": "vv", "type": "volt_var", "points": [[92, 44], [98, 0], [102, 0], [108, -44]]}
    assert admin.told("POST", "/admin/v1/curves", curve).status == 201
    program = {"name": "night", "primacy": 7, "description": "after dark"}
    assert admin.told("POST", "/admin/v1/programs", program).status == 201
    default = {"base": {"volt_var": "vv"}, "set_grad_w_pct_per_s": 1.5}
    shown = admin.told("PUT", "/admin/v1/programs/night/default", default).json
    assert shown["default"] == default
    group = {"name": "all-day", "programs": ["feeder", "night"]}
    assert admin.told("POST", "/admin/v1/groups", group).status == 201
    joined = {"groups": ["all-day"]}
    assert admin.told("PATCH", "/admin/v1/devices/one", joined).status == 200
    assert set(device.get("/derp?l=10").texts("DERProgram/description")) >= {"after dark", "feeder"}
    number = admin.get("/admin/v1/programs/night").json["number"]
    assert device.get(f"/derp/{number}/dderc").texts("setGradW") == ["150"]
    [href] = [c["href"] for c in admin.get("/admin/v1/curves").json["curves"] if c["name"] == "vv"]
    assert device.get(href).texts("CurveData/yvalue") == ["44", "0", "0", "-44"]
    assert admin.ask("DELETE", "/admin/v1/curves/vv").status == 409  # the default needs it
    steeper = curve | {"points": [[90, 44], [110, -44.5]]}
    assert admin.told("PUT", "/admin/v1/curves/vv", steeper).json["points"][1] == [110.0, -44.5]
    moved = admin.told("PATCH", "/admin/v1/programs/night", {"primacy": 3})
    assert moved.json["primacy"] == 3
    assert admin.ask("DELETE", "/admin/v1/groups/all-day").status == 204
    assert admin.ask("DELETE", "/admin/v1/programs/night").status == 204
    assert admin.told("PATCH", "/admin/v1/devices/one", {"groups": ["feeder"]}).status == 200


def test_rates_that_are_set_reach_devices(admin: Caller, device: Caller) -> None:
    assert admin.told("PUT", "/admin/v1/rates", {"poll_s": 23}).json == {"poll_s": 23, "post_s": 60}
    assert device.get("/dcap").attribute("pollRate") == "23"
    assert faults(admin.told("PUT", "/admin/v1/rates", {"poll_s": 0}))


def test_a_body_that_is_too_long_is_refused_whether_it_says_so_or_not(admin: Caller) -> None:
    long = admin.ask("POST", "/admin/v1/devices", b"x" * (1 << 20) + b"x")
    assert long.status == 413
    unsaid = admin.ask_in_pieces("POST", "/admin/v1/devices", [b" " * 65_536] * 16 + [b"{}"])
    assert unsaid.status == 413
    assert unsaid.json["detail"] == "the body is longer than 1048576 B"
    short = admin.ask_in_pieces("PUT", "/admin/v1/rates", [b'{"poll', b'_s": 0}'])
    assert short.status == 422


# --- subscriptions -----------------------------------------------------------------------


def test_a_subscription_is_listed_and_ended_and_the_end_is_audited(
    admin: Caller, device: Caller
) -> None:
    href = admin.get("/admin/v1/devices/one").json["href"]
    wish = (
        "<Subscription><subscribedResource>/derp</subscribedResource><encoding>0</encoding>"
        "<level>+S1</level><limit>1</limit>"
        "<notificationURI>https://127.0.0.1:1/</notificationURI></Subscription>"
    )
    path = device.send("POST", f"{href}/sub", wish).location
    listed = admin.get("/admin/v1/devices/one/subscriptions").json
    [held] = listed["subscriptions"]
    assert (held["resource"], held["uri"]) == ("/derp", "https://127.0.0.1:1/")
    assert listed == {"all": 1, "subscriptions": [held]}
    assert admin.get("/admin/v1/subscriptions").json == listed
    ending = f"/admin/v1/devices/one/subscriptions/{held['number']}"
    assert admin.ask("DELETE", ending).status == 204
    assert admin.get("/admin/v1/subscriptions").json["all"] == 0
    assert device.ask("GET", path).status == 404
    assert admin.ask("DELETE", ending).status == 404
    [entry] = admin.get("/admin/v1/audit?most=1").json["entries"]
    assert (entry["what"], entry["before"], entry["after"]) == (f"DELETE {ending}", held, None)


# --- what cannot be served ---------------------------------------------------------------


def test_what_cannot_be_served_is_refused(admin: Caller) -> None:
    wrong = {"name": "dark", "description": "\u0001"}
    [said] = faults(admin.told("POST", "/admin/v1/programs", wrong))
    assert "description: " in said
    curve = {"name": "far", "type": "volt_var", "points": [[1e12, 0]]}
    assert faults(admin.told("POST", "/admin/v1/curves", curve))
    high = {"name": "high", "type": "volt_var", "points": [[92, 0]], "v_ref_pct": 103}
    assert faults(admin.told("POST", "/admin/v1/curves", high)) == [
        "v_ref_pct: Input should be less than or equal to 100"
    ]


CONTROLS = "programs/feeder/controls"


@pytest.mark.parametrize(
    ("method", "path", "body", "place"),
    [
        ("POST", CONTROLS, {"duration_s": 60, "base": {"target_kw": 1e300}}, "base.target_kw"),
        ("POST", CONTROLS, {"duration_s": 1e300, "base": {"target_kw": 1}}, "duration_s"),
        (
            "POST",
            CONTROLS,
            {"duration_s": 60, "base": {"export_limit_kw": 1e11}},
            "base.export_limit_kw",
        ),
        (
            "POST",
            CONTROLS,
            {"duration_s": 60, "description": "a\u000bb", "base": {"target_kw": 1}},
            "description",
        ),
        ("PUT", "programs/feeder/default", {"base": {"target_kvar": -1e300}}, "base.target_kvar"),
        (
            "PUT",
            "programs/feeder/default",
            {"base": {"target_kw": 1}, "description": "\ufffe"},
            "description",
        ),
        ("PUT", "points/one/b704_WSet", {"value": 1e308}, "b704_WSet"),
        ("PUT", "points/one/b704_WMaxLimPct", {"value": 1e308}, "b704_WMaxLimPct"),
        ("POST", "curves", {"name": "c", "type": "volt_var", "points": [[1e300, 0]]}, "points"),
        (
            "POST",
            "curves",
            {"name": "c", "type": "volt_var", "points": [[101, 0], [99, 0]]},
            "points",
        ),
        (
            "POST",
            "curves",
            {"name": "c", "type": "volt_var", "points": [[9, 0]], "description": "\u0000"},
            "description",
        ),
        (
            "POST",
            "groups",
            {"name": "g", "programs": ["feeder"], "description": "\u001f"},
            "description",
        ),
        ("POST", "devices", {"name": "a\u0001", "lfdi": "1" * 40}, "name"),
        ("POST", "devices", {"name": "a", "lfdi": "0" * 40}, "device 'a': lfdi"),
        ("POST", "programs", {"name": "a/b"}, "name"),
        ("POST", "programs", {"name": ".."}, "name"),
        ("POST", "programs", {"name": "a\u0007"}, "name"),
    ],
)
def test_a_value_beyond_what_can_be_served_is_a_fault_of_its_key(
    admin: Caller, device: Caller, method: str, path: str, body: dict[str, Any], place: str
) -> None:
    before = admin.get("/admin/v1/programs/feeder/controls").json
    said = faults(admin.told(method, f"/admin/v1/{path}", body))
    assert [one.partition(": ")[0] for one in said] == [place] or said[0].startswith(place)
    assert admin.get("/admin/v1/programs/feeder/controls").json == before
    for listed in ("/derp?l=9", "/edev?l=9", "/dc?l=9"):
        device.get(listed)


def test_a_time_that_no_date_can_tell_does_not_keep_a_list_from_being_read(
    admin: Caller, device: Caller, pki: Pki
) -> None:
    asked = {"duration_s": 60, "base": {"max_lim_w_pct": 50}}
    mrid = admin.told("POST", "/admin/v1/programs/feeder/controls", asked).json["mrid"]
    for told in (2**63 - 1, -(2**63)):
        answer = (
            f"<DERControlResponse><createdDateTime>{told}</createdDateTime><endDeviceLFDI>"
            f"{pki.device['one'].lfdi}</endDeviceLFDI><status>1</status>"
            f"<subject>{mrid}</subject></DERControlResponse>"
        )
        assert device.send("POST", "/rsps/1/r", answer).status == 201
    times = [one["time"] for one in admin.get(f"/admin/v1/controls/{mrid}").json["responses"]]
    assert times == ["9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+00:00"]
    assert admin.get("/admin/v1/devices/one/responses").json["responses"]
    device.get("/rsps/1/r?l=9")


def test_an_aggregator_is_removed_only_after_its_devices_have_left_it(admin: Caller) -> None:
    for new in (
        {"name": "manager", "lfdi": "A" * 40},
        {"name": "managed", "lfdi": "B" * 40, "aggregator": "manager"},
    ):
        assert admin.told("POST", "/admin/v1/devices", new).status == 201
    refused = admin.ask("DELETE", "/admin/v1/devices/manager")
    assert (refused.status, "managed" in refused.json["detail"]) == (409, True)
    alone = admin.told("PATCH", "/admin/v1/devices/managed", {"aggregator": None})
    assert alone.json["aggregator"] is None
    for name in ("manager", "managed"):
        assert admin.ask("DELETE", f"/admin/v1/devices/{name}").status == 204


# --- points ------------------------------------------------------------------------------


def test_points_are_read_by_name_and_setting_one_publishes_a_control_to_this_device(
    admin: Caller, device: Caller
) -> None:
    assert admin.get("/admin/v1/points/one/b120_WRtg").json == {"value": 5000.0}
    set_ = admin.told("PUT", "/admin/v1/points/one/b704_WMaxLimPct", {"value": 60.0})
    assert set_.json == {"value": 60.0}
    assert admin.get("/admin/v1/points/one").json["b704_WMaxLimPct"] == 60.0
    assert "point-one" in device.get("/derp?l=10").texts("DERProgram/description")
    taken_out = admin.told("PUT", "/admin/v1/points/one/b704_WMaxLimPct", {"value": None})
    assert taken_out.json == {"value": None}
    assert admin.ask("GET", "/admin/v1/points/one/b999_Nothing").status == 404
    read_only = admin.told("PUT", "/admin/v1/points/one/b120_WRtg", {"value": 1})
    assert "can only be read" in faults(read_only)[0]


# --- what is written down ------------------------------------------------------------------


def test_every_change_is_audited_with_who_what_before_and_after(
    admin: Caller, device: Caller, pki: Pki
) -> None:
    admin.told("PUT", "/admin/v1/rates", {"post_s": 30})
    device.told("PUT", "/admin/v1/rates", {"post_s": 31}, authorization=f"Bearer {TOKEN}")
    device.told("PUT", "/admin/v1/rates", {"post_s": 32})  # refused
    first, second = admin.get("/admin/v1/audit?most=2").json["entries"]
    assert (first["who"], first["what"]) == (
        pki.administrator["operator"].lfdi, "PUT /admin/v1/rates",
    )  # fmt: skip
    assert first["after"]["post_s"] == 30
    assert second["who"] == "token"
    assert (second["before"]["post_s"], second["after"]["post_s"]) == (30, 31)
    assert second["previous"] == first["hash"]
    assert admin.get("/admin/v1/audit/check").json == {"whole": True, "fault": None}


def test_an_entry_that_is_altered_behind_its_back_is_found(tmp_path: Path, pki: Pki) -> None:
    file = write_file(tmp_path, pki)
    with serving(file, pki) as server:
        with server.caller(pki.administrator["operator"]) as admin:
            for post_s in (1, 2, 3):
                admin.told("PUT", "/admin/v1/rates", {"post_s": post_s})
            rights = {file.stat().st_mode & 0o777 for file in tmp_path.glob("geems.sqlite*")}
            assert rights == {0o600}
        assert server.end() == 0
    with sqlite3.connect(tmp_path / "geems.sqlite") as database:
        database.execute(
            "UPDATE derms_entries SET body = replace(body, '\"post_s\":2', '\"post_s\":9')"
        )
    with serving(file, pki) as server, server.caller(pki.administrator["operator"]) as admin:
        assert admin.get("/admin/v1/audit/check").json == {
            "whole": False,
            "fault": "entry 2 was altered",
        }


def test_what_was_refused_is_told(admin: Caller, device: Caller) -> None:
    assert device.ask("GET", "/edev/77").status == 403
    refused = admin.get("/admin/v1/refused").json
    assert refused["counts"]["403"] >= 1
    assert any("/edev/77" in one["where"] for one in refused["last"])


def test_a_token_that_others_may_read_is_refused_before_anything_is_opened(
    tmp_path: Path, pki: Pki
) -> None:
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    (tmp_path / "token").chmod(0o644)
    file = write_file(tmp_path, pki, **WITH_TOKEN)
    with pytest.raises(AssertionError, match="may be read by others"), serving(file, pki):
        pass
    assert not (tmp_path / "geems.sqlite").exists()


def test_files_of_tls_that_cannot_be_used_are_told_all_at_once(tmp_path: Path, pki: Pki) -> None:
    file = write_file(tmp_path, pki, cert_file='"no.pem"', ca_file='"none.pem"')
    with pytest.raises(AssertionError) as told, serving(file, pki):
        pass
    document = json.loads(str(told.value)[str(told.value).index("{") :].rpartition("}")[0] + "}")
    assert [fault["place"] for fault in document["faults"]] == [
        "derms.toml: ieee2030_5.cert_file",
        "derms.toml: ieee2030_5.ca_file",
    ]
