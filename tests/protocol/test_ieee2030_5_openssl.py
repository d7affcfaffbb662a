"""openssl and curl against the server, by the commands that the documentation gives."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.derms.board import Board
from ems.derms.certificates import Pki, make_pki
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings

pytestmark = pytest.mark.needs("openssl", "curl")

PAGE = Path(__file__).parents[2] / "docs" / "ieee2030_5.md"
NAME = "inverter-1"


def documented() -> list[str]:
    """The commands of the page's section, in their order; the first makes the certificates."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## With openssl and curl\n")[2]
    return re.findall(r"```\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return make_pki(tmp_path / "pki", [NAME])


@pytest.fixture
def server(pki: Pki) -> Iterator[DermsServer]:
    board = Board()
    board.add_device(NAME, lfdi=pki.device[NAME].lfdi)
    own = pki.server
    files = ServerSettings(
        port=0, cert_file=own.cert_file, key_file=own.key_file, ca_file=pki.ca_file
    )
    server = DermsServer(files, board)
    server.start()
    yield server
    server.stop()


def run(command: str, server: DermsServer, folder: Path) -> subprocess.CompletedProcess[str]:
    # The page names the host by which a certificate is checked; tests listen on 127.0.0.1.
    command = command.replace("8443", str(server.address[1]))
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_documented_commands_do_what_the_page_says(
    server: DermsServer, pki: Pki, tmp_path: Path
) -> None:
    made, verify, s_client, read, put = documented()
    assert made.strip() == f"geems ieee2030-5 certs pki --device {NAME}"  # what the fixture makes
    done = [run(command, server, tmp_path) for command in (verify, s_client, read, put)]
    assert [each.returncode for each in done] == [0, 0, 0, 0], [each.stderr for each in done]
    verified, dcap, edev, _ = (each.stdout for each in done)
    assert verified == f"pki/devices/{NAME}.pem: OK\n"
    assert "HTTP/1.1 200" in dcap
    assert "<DeviceCapability" in dcap
    assert f"<lFDI>{pki.device[NAME].lfdi}</lFDI>" in edev
    filed = server.call(lambda: server.board.filed(pki.device[NAME].lfdi, "status"))
    assert filed is not None


def test_without_its_certificate_curl_is_refused(server: DermsServer, tmp_path: Path) -> None:
    read = re.sub(r"--cert \S+ --key \S+", "", documented()[3])
    assert run(read, server, tmp_path).returncode != 0
    assert "did not return a certificate" in server.refusals.last[-1].why


@pytest.mark.parametrize("name", [f"devices/{NAME}", "server"])
def test_every_certificate_passes_strict_verification_for_its_policies(pki: Pki, name: str) -> None:
    policies = ("1.3.6.1.4.1.40732.1.1", "1.3.6.1.4.1.40732.2.1")
    for policy in policies:
        command = ["openssl", "verify", "-x509_strict", "-explicit_policy", "-policy", policy]
        command += ["-CAfile", "root.pem", "-untrusted", "intermediate.pem", f"{name}.pem"]
        subprocess.run(command, cwd=pki.folder, check=True, capture_output=True)
