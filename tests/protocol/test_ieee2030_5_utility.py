"""Following a utility: its limits, over real TLS, in the decisions of a site."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ems.assembly import open_site
from ems.cycle import run_cycle
from ems.derms.board import Board
from ems.derms.certificates import Pki, make_pki
from ems.derms.link import DispatchLink
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings
from ems.domain import CycleRecord, Imposed, Infeasible
from ems.gateways.ieee2030_5.site_as_der import CEASED, OPERATING
from ems.gateways.ieee2030_5.utility import CEASED_S, Utility, UtilityAddress
from ems.protocols.ieee2030_5 import sep, values
from ems.settings import TEMPLATE, load_settings
from tests.sites import AUTO, NOW, PRICE_USD_PER_KWH, ports, segment

SITE = segment()
RATED_KW = sum(d.rated_kw for d in SITE.ders)
WAIT_S = 20.0
"""Longest wait for something that takes a second [s]."""


@dataclass
class Grid:
    """A utility's server with one program, to which the site is assigned."""

    pki: Pki
    board: Board
    server: DermsServer
    link: DispatchLink

    def publish(self, duration_s: int = 600, **base: object) -> str:
        def published() -> str:
            return self.board.publish(
                "limits", base=sep.DERControlBase.model_validate(base), start=self.board.now(),
                duration=duration_s,
            ).mrid  # fmt: skip

        return self.server.call(published)

    def answered(self, mrid: str, *statuses: int) -> None:
        """Wait until the site has answered so, in this order."""
        count = -1
        while tuple(r.status for r in self.board.responses(mrid)) != statuses:
            before, count = count, self.link.wait_for_responses(count, WAIT_S)
            assert count != before, self.board.responses(mrid)

    def told(self, kind: str) -> sep.Resource:
        """Wait until the site has told a document."""
        lfdi, came = self.pki.device["site"].lfdi, threading.Event()
        self.server.call(lambda: self.board.listeners.append(lambda _path: came.set()))
        while (found := self.server.call(lambda: self.board.filed(lfdi, kind))) is None:
            assert came.wait(WAIT_S), kind
            came.clear()
        return found[0]

    def site(self, last: Imposed | None = None, **more: object) -> Utility:
        issued = self.pki.device["site"]
        at = UtilityAddress(
            url=f"{self.server.url}/dcap", ca_file=self.pki.ca_file, cert_file=issued.cert_file,
            key_file=issued.key_file,
        )  # fmt: skip
        return Utility(SITE, at, last, **more)  # type: ignore[arg-type]


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[Grid]:
    pki = make_pki(tmp_path / "pki", ("site",))
    board = Board()
    board.set_rates(poll_s=1, post_s=1)
    board.add_program("limits", primacy=2)
    board.add_device("site", lfdi=pki.device["site"].lfdi, groups=("limits",))
    settings = ServerSettings(
        port=0, cert_file=pki.server.cert_file, key_file=pki.server.key_file, ca_file=pki.ca_file
    )
    server = DermsServer(settings, board)
    server.start()
    yield Grid(pki, board, server, DispatchLink(server, board, {}))
    server.stop()


@pytest.fixture
def utility(grid: Grid) -> Iterator[Utility]:
    made = grid.site()
    made.start()
    yield made
    made.close()


def test_limits_arrive_and_are_answered_at_receipt_and_start(grid: Grid, utility: Utility) -> None:
    mrid = grid.publish(
        opModExpLimW=values.active_power(2_000_000.0), opModImpLimW=values.active_power(5_000_000.0)
    )
    grid.answered(mrid, 1, 2)
    limits = utility.limits()
    assert (limits.export_kw, limits.import_kw, limits.generation_kw) == (2000.0, 5000.0, None)
    assert any(mrid in note for note in limits.notes)


def test_a_limit_of_an_event_ends_with_it(grid: Grid, utility: Utility) -> None:
    mrid = grid.publish(duration_s=3, opModMaxLimW=2500)
    grid.answered(mrid, 1, 2)
    assert utility.limits().generation_kw == pytest.approx(0.25 * RATED_KW)
    grid.answered(mrid, 1, 2, 3)
    assert utility.limits().generation_kw is None


def test_a_disconnect_is_a_limit_to_nothing(grid: Grid, utility: Utility) -> None:
    grid.answered(grid.publish(opModConnect=False), 1, 2)
    limits = utility.limits()
    assert limits.generation_kw == 0.0
    assert "opens no breaker" in " ".join(limits.notes)
    assert "by hand" in " ".join(limits.alarms)


def test_ders_that_go_on_giving_although_they_shall_cease_are_an_alarm(grid: Grid) -> None:
    passed_s = [0.0]
    utility = grid.site(passed_s=lambda: passed_s[0])
    utility.start()
    utility.der.report(0.5 * RATED_KW, 0.0)
    grid.answered(grid.publish(opModEnergize=False), 1, 2)
    assert utility.limits().generation_kw == 0.0
    assert not utility.limits().alarms
    passed_s[0] = CEASED_S + 1.0
    assert "to give nothing, and they give" in " ".join(utility.limits().alarms)
    status = utility.der.status(0).genConnectStatus
    assert status is not None
    assert status.value == OPERATING
    utility.der.report(0.0, 0.0)
    assert not utility.limits().alarms
    status = utility.der.status(0).genConnectStatus
    assert status is not None
    assert status.value == CEASED
    utility.close()


def test_an_order_to_a_single_device_is_refused(grid: Grid, utility: Utility) -> None:
    grid.answered(grid.publish(opModFixedW=5000), 252)
    assert utility.limits() == Imposed()


def test_the_default_control_holds_while_there_is_no_event(grid: Grid, utility: Utility) -> None:
    base = sep.DERControlBase(opModMaxLimW=5000)
    grid.server.call(lambda: grid.board.set_default("limits", base))
    mrid = grid.publish(duration_s=2, opModMaxLimW=1000)
    grid.answered(mrid, 1, 2)
    assert utility.limits().generation_kw == pytest.approx(0.1 * RATED_KW)
    grid.answered(mrid, 1, 2, 3)
    assert utility.limits().generation_kw == pytest.approx(0.5 * RATED_KW)


@pytest.mark.usefixtures("utility")
def test_what_the_site_can_do_is_told(grid: Grid) -> None:
    capability = grid.told("capability")
    assert isinstance(capability, sep.DERCapability)
    assert values.watts(capability.rtgMaxW) <= 1000.0 * RATED_KW


def test_a_lost_server_leaves_its_last_limits_and_an_alarm(grid: Grid) -> None:
    passed_s = [0.0]
    utility = grid.site(passed_s=lambda: passed_s[0])
    utility.start()
    try:
        grid.answered(grid.publish(opModMaxLimW=1000), 1, 2)
        heard = utility.limits()
        assert heard.lost == ""
        grid.server.stop()
        utility.close()
        passed_s[0] = 1000.0
        lost = utility.limits()
        assert lost.generation_kw == heard.generation_kw
        assert "has not answered" in lost.lost
    finally:
        utility.close()


def test_the_limits_of_the_process_before_are_kept_until_the_server_is_heard(grid: Grid) -> None:
    passed_s = [0.0]
    last = Imposed(export_kw=700.0)
    utility = grid.site(last, passed_s=lambda: passed_s[0])
    assert utility.limits().export_kw == 700.0
    assert utility.limits().lost == ""
    passed_s[0] = 400.0
    assert "since the start" in utility.limits().lost


def test_the_first_cycle_waits_for_the_limits(grid: Grid) -> None:
    grid.publish(opModMaxLimW=2000)
    utility = grid.site()
    utility.start()
    try:
        utility.ready()
        assert utility.limits().generation_kw == pytest.approx(0.2 * RATED_KW)
        assert utility.told().endswith("followed")
    finally:
        utility.close()


def test_a_server_that_is_not_there_at_the_start_is_an_alarm_at_once(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ems.gateways.ieee2030_5.utility.FIRST_S", 0.1)
    utility = grid.site(Imposed(export_kw=5.0))
    grid.server.stop()
    utility.start()
    try:
        utility.ready()
        limits = utility.limits()
        assert limits.export_kw == 5.0
        assert "since the start" in limits.lost
    finally:
        utility.close()


def test_a_cycle_keeps_the_limit_of_an_event_and_says_who_set_it(
    grid: Grid, utility: Utility
) -> None:
    mrid = grid.publish(opModMaxLimW=values.percent(7000.0 / RATED_KW, "down"))
    grid.answered(mrid, 1, 2)
    limits = utility.limits()
    world = ports(SITE)
    before = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, ports(SITE), NOW)
    record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW, imposed=limits)
    assert not isinstance(record.secured, Infeasible)
    assert _injected(before) > 7000.0
    assert limits.generation_kw is not None
    assert _injected(record) <= limits.generation_kw + 1.0
    assert record.imposed == limits
    assert any(mrid in note for note in record.secured.notes)


def test_a_site_file_names_the_utility_and_the_next_process_keeps_its_limits(
    grid: Grid, tmp_path: Path
) -> None:
    """Of devices that are not there: what is decided counts, not who does it."""
    issued, text = grid.pki.device["site"], TEMPLATE.read_text(encoding="utf-8")
    table = (
        f'[utility]\nurl = "{grid.server.url}/dcap"\nca_file = "{grid.pki.ca_file}"\n'
        f'cert_file = "{issued.cert_file}"\nkey_file = "{issued.key_file}"\n'
    )
    path = tmp_path / "site.toml"
    path.write_text(text.replace('"lstm"', '"clear_sky"') + table, encoding="utf-8")
    settings = load_settings(path, {})
    mrid = grid.publish(opModExpLimW=values.active_power(1_500_000.0))
    with open_site(settings) as opened:
        record = opened.run_once(NOW)
        assert record.imposed is not None
        assert record.imposed.export_kw == 1500.0
        assert mrid in record.ledger.sentence
        assert opened.links()["utility"].endswith("followed")
    grid.answered(mrid, 1, 2)
    with open_site(settings) as opened:
        kept = opened.imposed()
        assert kept is not None
        assert kept.export_kw == 1500.0
        assert "its last limits are kept" in kept.notes[0]


def _injected(record: CycleRecord) -> float:
    """Most that all DERs inject: plants at their caps [kW]."""
    setpoints = record.secured.dispatch.setpoints.values()
    return sum(at.p_kw if at.cap_kw is None else at.cap_kw for at in setpoints)
