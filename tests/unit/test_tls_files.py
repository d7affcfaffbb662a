"""`geems validate` opens the files by which devices and GEEMS prove who they are."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from ems.cli.site_check import all_faults
from ems.settings import TEMPLATE
from tests.protocol.certificates import Authority, Pair

Told = Callable[..., list[str]]


@pytest.fixture
def ours(tmp_path: Path) -> Pair:
    return Authority(tmp_path, "ca").pair("geems")


@pytest.fixture
def told(tmp_path: Path, ours: Pair) -> Told:
    """Faults of a site whose plant speaks TLS with these files."""

    def faults(
        ca_file: str = "ca.pem", cert_file: str = ours.cert.name, key_file: str = ours.key.name
    ) -> list[str]:
        device = (
            f'transport = "tls", ca_file = "{ca_file}", cert_file = "{cert_file}", '
            f'key_file = "{key_file}"'
        )
        text = TEMPLATE.read_text(encoding="utf-8")
        site = tmp_path / "site.toml"
        site.write_text(text.replace("port = 5021 }", f"port = 5021, {device} }}"), "utf-8")
        return [str(fault) for fault in all_faults(site)]

    return faults


def test_files_that_are_there_and_belong_together_are_no_fault(told: Told) -> None:
    assert told() == []


def test_every_file_that_is_missing_is_told_at_its_key(told: Told, tmp_path: Path) -> None:
    assert told("a.pem", "b.crt", "c.key") == [
        f"site.toml: pv[0].device.{key}: no such file: {tmp_path / name}"
        for key, name in (("ca_file", "a.pem"), ("cert_file", "b.crt"), ("key_file", "c.key"))
    ]


def test_a_folder_in_the_place_of_a_file_cannot_be_read(told: Told, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (fault,) = told(key_file="keys")
    assert fault.startswith("site.toml: pv[0].device.key_file:")
    assert "keys cannot be read: Is a directory" in fault


def test_what_is_no_pem_is_told_of_all_three(told: Told, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\x30\x82\x01\x00 no text \xff")
    noise = tmp_path / "noise"
    assert told("noise", "noise", "noise") == [
        f"site.toml: pv[0].device.ca_file: {noise} holds no certificate in PEM form",
        f"site.toml: pv[0].device.cert_file: {noise} holds no certificate in PEM form",
    ]
    assert told(key_file="noise") == [
        f"site.toml: pv[0].device.key_file: {noise} holds no private key in PEM form"
    ]


def test_a_key_of_another_certificate_is_told(told: Told, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other").pair("stranger")
    (fault,) = told(key_file=other.key.name)
    assert "stranger.key is not the key of" in fault
    assert fault.endswith("geems.crt")


def test_a_key_with_a_password_is_told_and_nobody_is_asked_for_it(
    told: Told, tmp_path: Path, ours: Pair
) -> None:
    key = serialization.load_pem_private_key(ours.key.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "locked.key").write_bytes(locked)
    (fault,) = told(key_file="locked.key")
    assert "locked.key is encrypted, and nobody can be asked for its password" in fault
