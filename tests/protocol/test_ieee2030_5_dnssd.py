"""The server is found on the local network by multicast DNS, and says so when it cannot be."""

import builtins
import threading
from pathlib import Path
from typing import Any

import pytest
from zeroconf import ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

from ems.derms.certificates import make_pki
from ems.derms.dnssd import SERVICE, announced
from ems.errors import BadInput
from tests.derms_process import PATIENCE_S, serving, write_file


class Found(ServiceListener):
    """Hears of servers; loopback only, so that no other network is asked."""

    def __init__(self) -> None:
        self.told = threading.Condition()
        self.infos: dict[str, ServiceInfo | None] = {}

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        info = zc.get_service_info(type_, name, timeout=int(PATIENCE_S * 1000))
        with self.told:
            self.infos[name] = info
            self.told.notify_all()

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        pass

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:  # noqa: ARG002 - the library's signature
        with self.told:
            self.infos.pop(name, None)
            self.told.notify_all()


def test_a_server_announces_where_its_dcap_is_and_takes_it_back_when_it_ends(
    tmp_path: Path,
) -> None:
    pki = make_pki(tmp_path / "pki", ["one"], administrators=["operator"])
    found = Found()
    listening = Zeroconf(interfaces=["127.0.0.1"])
    try:
        browser = ServiceBrowser(listening, SERVICE, found)
        with serving(write_file(tmp_path, pki, dns_sd="true"), pki) as server:
            name = f"geems-{pki.server.lfdi[:10].lower()}.{SERVICE}"
            with found.told:
                assert found.told.wait_for(lambda: name in found.infos, PATIENCE_S)
            info = found.infos[name]
            assert info is not None
            assert info.port == server.announced["port"]
            assert info.parsed_addresses() == ["127.0.0.1"]
            assert info.decoded_properties["dcap"] == "/dcap"
            assert info.decoded_properties["https"] == str(info.port)
            assert info.decoded_properties["level"] == "+S1"
            assert server.end() == 0
        with found.told:
            assert found.told.wait_for(lambda: name not in found.infos, PATIENCE_S)
        browser.cancel()
    finally:
        listening.close()


def test_without_the_extra_it_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "zeroconf":
            raise ImportError(name)
        return usual(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with (
        pytest.raises(BadInput, match=r"pip install 'geems\[dnssd\]'"),
        announced("127.0.0.1", 8443, "A" * 40),
    ):
        pass
