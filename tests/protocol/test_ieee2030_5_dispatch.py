"""A cycle whose dispatch goes over IEEE 2030.5: real server, real clients, real TLS."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ems.assembly import OpenSite, open_site
from ems.clock import INTERVAL
from ems.derms.assembled import opened
from ems.derms.link import DispatchLink
from ems.domain import Bes, DerReading, Partial, Pv, Quality, Sent
from ems.errors import LeaseHeld
from ems.plant.ieee2030_5.fleet import ClientFleet, credentials_of
from ems.protocols.ieee2030_5 import sep
from ems.settings import load_settings
from ems.settings.ieee2030_5.file import server_of
from ems.store import StoreFault
from tests.end_devices import LOAD_KW, Clients, ders, living, site_of_clients

ANSWERED_S = 20.0
"""Longest wait for an answer that takes a second or two [s]."""
SETTLED_S = 600
"""An inverter that enters service ramps for 300 s (IEEE 1547-2018, 4.10), twice that; simulated
[s]."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[OpenSite, Clients]]:
    """The reference site, all of its devices clients of its own server."""
    path, pki = site_of_clients(tmp_path, timeout_s=5.0)
    with open_site(load_settings(path, {})) as opened:
        opened.begin()
        assert opened.clients is not None
        with living(pki, opened.clients.served.server.url) as clients:
            opened.ready()
            yield opened, clients


def test_a_dispatch_arrives_is_answered_and_shows_as_sent(
    site: tuple[OpenSite, Clients],
) -> None:
    opened, clients = site
    record = opened.run(datetime.now(UTC))
    assert {name: type(outcome) for name, outcome in record.outcomes.items()} == dict.fromkeys(
        ("pv", "bes", "dg"), Sent
    )
    assert record.snapshot.load.p_kw == pytest.approx(LOAD_KW)
    assert all(r.quality is Quality.GOOD for r in record.snapshot.ders.values())
    for name in ("bes", "dg"):
        outcome = record.outcomes[name]
        assert isinstance(outcome, Sent)
        assert clients.ders[name].p_kw == pytest.approx(outcome.readback.p_kw, abs=1e-6)
        assert clients.ders[name].q_kvar == pytest.approx(outcome.readback.q_kvar, abs=1e-6)


def test_a_silent_device_is_partial_after_its_time_and_the_others_are_sent(
    site: tuple[OpenSite, Clients],
) -> None:
    opened, clients = site
    first = opened.run(datetime.now(UTC)).outcomes["dg"]
    assert isinstance(first, Sent)
    _until_shown(opened, "dg", first.readback.p_kw)
    clients.unplug("dg")
    record = opened.run(datetime.now(UTC))  # the generator's next step
    dg = record.outcomes["dg"]
    assert isinstance(dg, Partial)
    assert "no Response to control" in dg.reason
    assert isinstance(record.outcomes["bes"], Sent)
    assert any("no Response to control" in alarm for alarm in record.alarms)
    assert record.in_force["dg"].setpoints[0].p_kw != record.in_force["dg"].setpoints[-1].p_kw


def test_a_device_that_rejects_says_so_in_the_record(site: tuple[OpenSite, Clients]) -> None:
    opened, clients = site
    clients.ders["bes"].rejects = 252
    record = opened.run(datetime.now(UTC))
    bes = record.outcomes["bes"]
    assert isinstance(bes, Partial)
    assert "Response 252" in bes.reason


def test_a_limit_that_another_program_publishes_is_in_what_the_device_holds_before_it_begins(
    site: tuple[OpenSite, Clients],
) -> None:
    """Nobody reads, writes or decides in between: the server tells the dispatch's end."""
    opened, _ = site
    opened.run(datetime.now(UTC))
    assert opened.clients is not None
    link, server = opened.clients.link, opened.clients.served.server
    board = opened.clients.served.board

    def limit() -> None:
        board.add_program("feeder", primacy=5)
        board.change_device("pv", groups=(*board.device("pv").groups, "feeder"))
        base = sep.DERControlBase(opModMaxLimW=0)
        board.publish("feeder", base=base, start=board.now() + 60, duration=600)

    server.call(limit)
    count = -1
    while True:
        before, count = count, link.wait_for_responses(count, ANSWERED_S)
        assert count != before
        device = link.look(("pv",))["pv"]
        newest = device.orders[0]
        if newest.base.opModMaxLimW == 0 and newest.mrid in device.told:
            break
    assert newest.start < device.coming[0].start


def test_a_plant_under_a_standing_default_of_half_is_commanded_in_every_cycle(
    site: tuple[OpenSite, Clients],
) -> None:
    opened, _ = site
    assert opened.clients is not None
    board = opened.clients.served.board

    def limit() -> None:
        board.add_program("feeder", primacy=5)
        board.set_default("feeder", sep.DERControlBase(opModMaxLimW=5000))
        board.change_device("pv", groups=(*board.device("pv").groups, "feeder"))

    opened.clients.served.server.call(limit)
    for _ in range(2):
        record = opened.run(datetime.now(UTC))
        outcome = record.outcomes["pv"]
        assert isinstance(outcome, Sent)
        assert outcome.readback.cap_kw is not None
        assert outcome.readback.cap_kw <= 5000.0
        assert record.forecast.pv["pv"].upper_kw <= 5000.0
        assert not any("somebody else" in alarm for alarm in record.alarms)


def test_the_default_control_of_each_device_is_its_safe_state(
    site: tuple[OpenSite, Clients],
) -> None:
    opened, _ = site
    opened.run(datetime.now(UTC))
    assert opened.clients is not None
    seen = opened.clients.link.look(("pv", "bes", "dg"))
    assert seen["pv"].default is not None
    assert seen["pv"].default.opModMaxLimW == 1000
    for name in ("bes", "dg"):
        default = seen[name].default
        assert default is not None
        assert default.opModFixedW == 0
        assert default.opModFixedVar is not None
        assert default.opModFixedVar.value == 0


def test_inverters_of_ieee_1547_follow_a_dispatch(tmp_path: Path) -> None:
    """Simulated inverters behind clients of their own, beside a scripted generator and meter."""
    path, pki = site_of_clients(tmp_path)
    with open_site(load_settings(path, {})) as opened:
        opened.begin()
        assert opened.clients is not None
        url = opened.clients.served.server.url
        inverters: list[Pv | Bes] = [*opened.site.pvs, *opened.site.bess]
        shown = credentials_of(pki.folder, [d.name for d in inverters])
        fleet = ClientFleet(
            inverters, shown, pki.ca_file, url, clock=opened.clock, sun=0.7, soc_pct=60.0
        )
        others = {name: der for name, der in ders().items() if name in ("dg", "load")}
        with living(pki, url, others), closing_fleet(fleet):
            fleet.start()
            for _ in range(SETTLED_S):
                fleet.step()
            opened.ready()
            record = opened.run(datetime.now(UTC))
            assert {type(outcome) for outcome in record.outcomes.values()} == {Sent}
            for _ in range(SETTLED_S):
                fleet.step()
            seen = {one.der: one for one in fleet.seen()}
        for name in ("pv", "bes"):
            outcome = record.outcomes[name]
            assert isinstance(outcome, Sent)
            held = outcome.readback
            rated_kw = max(d.rated_kw for d in inverters if d.name == name)
            if held.p_kw is not None:
                assert seen[name].p_kw == pytest.approx(held.p_kw, abs=0.01 * rated_kw)
            elif held.cap_kw is not None:
                assert seen[name].p_kw <= held.cap_kw + 0.01 * rated_kw
            assert seen[name].q_kvar == pytest.approx(held.q_kvar, abs=0.01 * rated_kw)


@contextmanager
def closing_fleet(fleet: ClientFleet) -> Iterator[None]:
    try:
        yield
    finally:
        fleet.stop()


def test_a_restart_finds_what_was_published_and_answered(tmp_path: Path) -> None:
    path, pki = site_of_clients(tmp_path)
    settings = load_settings(path, {})
    with open_site(settings) as opened:
        opened.begin()
        assert opened.clients is not None
        with living(pki, opened.clients.served.server.url):
            opened.ready()
            opened.run(datetime.now(UTC))
        before = opened.clients.link.look(("pv",))["pv"]
    with open_site(settings) as opened:
        assert opened.clients is not None
        after = opened.clients.link.look(("pv",))["pv"]
        assert [order.mrid for order in after.orders] == [order.mrid for order in before.orders]
        assert after.told == before.told
        assert after.default == before.default
        shown = opened.ports.field.read(datetime.now(UTC))["pv"]
        assert isinstance(shown, DerReading)
        assert shown.rated_kw == 10_000.0


def test_one_cycle_and_release_work_without_the_service(tmp_path: Path) -> None:
    """Clients that keep asking a server that is not there yet."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    path, pki = site_of_clients(tmp_path, port=port)
    settings = load_settings(path, {})
    with living(pki, f"https://127.0.0.1:{port}") as clients:
        with open_site(settings) as opened:
            record = opened.run_once(datetime.now(UTC))
        assert {type(outcome) for outcome in record.outcomes.values()} == {Sent}
        assert all(held.latest > record.start + INTERVAL for held in record.in_force.values())
        with open_site(settings) as opened:
            released = opened.release(datetime.now(UTC))
        assert {type(outcome) for outcome in released.values()} == {Sent}
        with open_site(settings) as opened:
            assert opened.clients is not None
            board = opened.clients.served.board
            behind = [p for p in board.programs() if p.name.startswith("dispatch-")]
            assert {p.primacy for p in behind} == {255}
            assert not any(board.standing(p.name).controls[0].cancelled is None for p in behind)
        assert clients.ders["pv"].p_kw == 1000.0
        assert clients.ders["bes"].p_kw == clients.ders["dg"].p_kw == 0.0


def test_what_was_released_during_an_event_of_others_follows_that_and_no_dispatch(
    tmp_path: Path,
) -> None:
    """It gave the event up for the dispatch, and does not take that one up again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    path, pki = site_of_clients(tmp_path, port=port)
    settings = load_settings(path, {})
    with living(pki, f"https://127.0.0.1:{port}") as clients:
        with open_site(settings) as opened:
            assert opened.clients is not None
            board = opened.clients.served.board
            board.add_program("feeder", primacy=5)
            board.change_device("pv", groups=(*board.device("pv").groups, "feeder"))
            half = sep.DERControlBase(opModMaxLimW=5000)
            board.publish("feeder", base=half, start=board.now(), duration=3600)
            record = opened.run_once(datetime.now(UTC))
            assert isinstance(record.outcomes["pv"], Sent)
        with open_site(settings) as opened:
            assert isinstance(opened.release(datetime.now(UTC))["pv"], Sent)
        assert clients.ders["pv"].p_kw == 1000.0
        with open_site(settings) as opened:
            opened.begin()
            _until_shown(opened, "pv", 5000.0)
            assert opened.clients is not None
            assert opened.clients.link.handed_back(opened.site.names) == {"pv", "bes", "dg"}


def test_a_device_leaves_the_program_of_a_der_that_the_site_has_no_more(tmp_path: Path) -> None:
    path, _ = site_of_clients(tmp_path)
    settings = load_settings(path, {})
    file = server_of(settings)
    assert file is not None
    with opened(file) as served:
        before = DispatchLink(served.server, served.board, {"sold": "pv"})
        before.keep_defaults({"sold": sep.DERControlBase(opModMaxLimW=1000)})
        assert "dispatch-sold" in served.board.device("pv").groups
    with open_site(settings) as site:
        assert site.clients is not None
        board = site.clients.served.board
        assert "dispatch-sold" not in board.device("pv").groups
        assert "dispatch-sold" not in [program.name for program in board.programs()]


@pytest.mark.usefixtures("site")
def test_the_server_of_a_running_service_is_not_opened_twice(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "site.toml", {})
    with pytest.raises(LeaseHeld), open_site(settings):
        pass


def _until_shown(opened: OpenSite, name: str, p_kw: float | None) -> None:
    """Wait until a device mirrors a power."""
    assert opened.clients is not None
    news = threading.Event()
    opened.clients.served.board.listeners.append(lambda _path: news.set())
    while True:
        shown = opened.ports.field.read(datetime.now(UTC))[name]
        if isinstance(shown, DerReading) and shown.p_kw == pytest.approx(p_kw):
            return
        assert news.wait(20.0), shown
        news.clear()


def test_what_the_server_cannot_keep_on_the_disk_is_a_concern_of_the_site(
    site: tuple[OpenSite, Clients], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, _ = site
    assert opened.clients is not None
    assert opened.clients.unkept() == ""

    def full(*_: object) -> "Future[None]":
        failed: Future[None] = Future()
        failed.set_exception(StoreFault("the disk is full; free some space"))
        return failed

    with monkeypatch.context() as broken:
        broken.setattr(opened.clients.served.store, "keep", full)
        opened.run(datetime.now(UTC))
        (concern,) = opened.concerns()
        assert concern.endswith("not on the disk yet: the disk is full; free some space")
    served = opened.clients.served
    served.server.call(lambda: served.board.add_program("later", primacy=9))
    assert opened.concerns() == ()
