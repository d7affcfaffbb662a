"""Certificates for IEEE 2030.5: what they say, how they are kept, and what is found in others'."""

import json
import os
import stat
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ems.cli.ieee2030_5.certs import certs
from ems.cli.outcome import Exit
from ems.derms.certificates import INDEFINITE, WARN_BEFORE, expiring, make_pki, shown
from ems.derms.certificates import authority as signing
from ems.derms.certificates.files import write_pair
from ems.derms.certificates.hardware import hardware_module_name, serial_number
from ems.errors import BadInput
from ems.protocols.ieee2030_5.identity import has_check_digit

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CRITICAL = (x509.KeyUsage, x509.CertificatePolicies, x509.SubjectAlternativeName)


def read(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def files_of(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# --- what they say -------------------------------------------------------------------


def test_a_device_holds_what_the_standard_asks_for_and_strict_clients_insist_on(
    tmp_path: Path,
) -> None:
    made = make_pki(tmp_path, ["inv-1"], now=NOW)
    for issued in (made.device["inv-1"], made.server):
        certificate = read(issued.cert_file)
        assert all(
            certificate.extensions.get_extension_for_class(kind).critical for kind in CRITICAL
        )
        assert not certificate.subject
        assert certificate.not_valid_after_utc == INDEFINITE
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"
    assert [each.findings for each in shown([made.server.cert_file], NOW)] == [()]


def test_lfdi_and_sfdi_follow_from_the_certificate(tmp_path: Path) -> None:
    issued = make_pki(tmp_path, ["inv-1"]).device["inv-1"]
    assert issued.lfdi == read(issued.cert_file).fingerprint(hashes.SHA256()).hex()[:40].upper()
    assert has_check_digit(issued.sfdi)
    assert issued.sfdi // 10 == int(issued.lfdi[:9], 16)


def test_a_file_carries_the_chain_and_the_root_is_what_to_trust(tmp_path: Path) -> None:
    made = make_pki(tmp_path, ["inv-1"])
    chain = x509.load_pem_x509_certificates(made.device["inv-1"].cert_file.read_bytes())
    assert len(chain) == 2
    chain[0].verify_directly_issued_by(chain[1])
    chain[1].verify_directly_issued_by(read(made.ca_file))


def test_the_server_vouches_for_the_names_it_is_reached_by(tmp_path: Path) -> None:
    made = make_pki(tmp_path, [], hosts=("derms.example", "192.0.2.7", "2001:db8::7"))
    assert shown([made.server.cert_file], NOW)[0].hosts == (
        *("derms.example", "192.0.2.7"),
        "2001:db8::7",
    )


# --- how they are kept ---------------------------------------------------------------


def test_keys_are_their_owners_only_from_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rights = []
    synced = os.fsync

    def seen(descriptor: int) -> None:
        rights.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    made = make_pki(tmp_path, ["inv-1"])
    assert rights == [0o600, 0o644] * 4  # root, intermediate, server, device: key first
    for file in tmp_path.rglob("*.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    load_pem_private_key(made.server.key_file.read_bytes(), password=None)


def test_what_exists_is_kept_and_the_rest_is_signed_by_the_same_authority(tmp_path: Path) -> None:
    first = make_pki(tmp_path, ["a"])
    before = files_of(tmp_path)
    second = make_pki(tmp_path, ["a", "b"], aggregators=["fleet"], administrators=["ops"])
    assert {file: files_of(tmp_path)[file] for file in before} == before
    assert (second.device["a"].lfdi, second.device["a"].new) == (first.device["a"].lfdi, False)
    assert second.device["b"].new
    signer = read(tmp_path / "intermediate.pem")
    for issued in (
        *second.device.values(),
        second.aggregator["fleet"],
        second.administrator["ops"],
    ):
        read(issued.cert_file).verify_directly_issued_by(signer)


def test_the_root_key_may_be_kept_elsewhere(tmp_path: Path) -> None:
    make_pki(tmp_path, ["a"])
    (tmp_path / "root.key").unlink()
    assert make_pki(tmp_path, ["b"]).device["b"].new


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    signer = signing.root(NOW)
    (tmp_path / "a.pem").write_text("mine")
    with pytest.raises(BadInput, match="nothing is ever overwritten"):
        write_pair(tmp_path / "a", signer)
    assert (tmp_path / "a.pem").read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.key", "a.pem"]  # and no draft


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["../up"], "'../up'"),
        ([""], "''"),
        ([".hidden"], "'.hidden'"),
        (["a b"], "'a b'"),
        (["a", "a"], "named twice"),
    ],
)
def test_names_that_are_no_file_names_are_refused_before_anything_is_written(
    tmp_path: Path, names: Sequence[str], told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        make_pki(tmp_path / "pki", names)
    assert not (tmp_path / "pki").exists()


@pytest.mark.parametrize("host", ["münchen", "", "a b", "https://derms", "x" * 254])
def test_what_is_no_host_is_refused_before_anything_is_written(tmp_path: Path, host: str) -> None:
    with pytest.raises(BadInput, match="is no address"):
        make_pki(tmp_path / "pki", [], hosts=[host])
    assert not (tmp_path / "pki").exists()


def test_every_half_pair_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    make_pki(tmp_path, ["a", "b"])
    (tmp_path / "devices/a.key").unlink()
    (tmp_path / "devices/b.pem").unlink()
    before = files_of(tmp_path)
    with pytest.raises(BadInput) as raised:
        make_pki(tmp_path, ["a", "b", "c"])
    assert [Path(fault.place).name for fault in raised.value.faults] == ["a.pem", "b.key"]
    assert files_of(tmp_path) == before


# --- what is found in them -----------------------------------------------------------


@pytest.mark.parametrize(
    ("ends_in", "told"),
    [
        (timedelta(days=-1), "expired"),
        (timedelta(days=9, hours=1), "in 9 days"),
        (WARN_BEFORE + timedelta(days=1), None),
    ],
)
def test_what_has_ended_or_will_soon_is_warned_of(
    tmp_path: Path, ends_in: timedelta, told: str | None
) -> None:
    issued = make_pki(tmp_path, ["a"], not_after=NOW + ends_in, now=NOW).device["a"]
    warnings = [str(each) for each in expiring([issued.cert_file], NOW)]
    assert [told in warning for warning in warnings if told] == ([True] if told else [])
    assert all(warning.startswith(f"{issued.cert_file} (a) ") for warning in warnings)


def test_a_certificate_from_the_future_asks_for_the_clock(tmp_path: Path) -> None:
    issued = make_pki(tmp_path, ["a"], now=NOW).device["a"]
    (first, *_) = expiring([issued.cert_file], NOW - timedelta(days=2))
    assert "is the clock right?" in str(first)


def test_files_without_a_certificate_are_told_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("nothing")
    with pytest.raises(BadInput) as raised:
        expiring([tmp_path / "a.pem", tmp_path / "b.pem"], NOW)
    assert [fault.problem for fault in raised.value.faults] == [
        "holds no certificate in PEM form",
        "cannot be read: No such file or directory",
    ]


def plain(
    folder: Path, build: Callable[[x509.CertificateBuilder], x509.CertificateBuilder]
) -> Path:
    """A certificate as general-purpose tools make it."""
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plain")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + 10 * WARN_BEFORE)
    )
    made = build(builder).sign(key, hashes.SHA384())
    write_pair(folder / "plain", signing.Signer(certificate=made, key=key))
    return folder / "plain.pem"


def test_what_strict_peers_refuse_about_a_brought_certificate_is_listed(tmp_path: Path) -> None:
    file = plain(
        tmp_path,
        lambda b: b.add_extension(
            x509.SubjectAlternativeName([x509.DNSName("plain.example")]), critical=False
        ),
    )
    (tmp_path / "plain.key").chmod(0o640)
    told = shown([file], NOW)[0]
    assert told.name == "CN=plain"
    for what in (
        *("keyUsage", "certificatePolicies", "HardwareModuleName", "P-256", "SHA-256"),
        "can be opened by others",
    ):
        assert any(what in finding for finding in told.findings), what


def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    made = make_pki(tmp_path, ["a", "b"])
    made.device["a"].key_file.write_bytes(made.device["b"].key_file.read_bytes())
    assert shown([made.device["a"].cert_file], datetime.now(UTC))[0].findings == (
        "a.key is not its key",
    )


def test_a_chain_that_does_not_lead_on_is_told(tmp_path: Path) -> None:
    made = make_pki(tmp_path / "one", ["a"])
    other = make_pki(tmp_path / "two", ["a"])
    file = made.device["a"].cert_file
    file.write_bytes(file.read_bytes() + other.ca_file.read_bytes())
    findings = shown([file], datetime.now(UTC))[0].findings
    assert ["did not sign" in finding for finding in findings] == [True]


# --- the command ---------------------------------------------------------------------


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(certs, [str(argument) for argument in arguments])


def test_certs_makes_whom_it_is_told_and_prints_their_identifiers(tmp_path: Path) -> None:
    result = run(tmp_path, "--devices", "2", "--device", "x", "--aggregator", "fleet", "--json")
    assert result.exit_code == Exit.OK
    made = {(c["role"], c["name"]): c for c in json.loads(result.stdout)["certificates"]}
    assert list(made) == [
        ("server", "server"),
        *(("device", name) for name in ("x", "device-1", "device-2")),
        ("aggregator", "fleet"),
    ]
    again = run(tmp_path, "--device", "x").stdout
    assert f"LFDI {made['device', 'x']['lfdi']}  SFDI {made['device', 'x']['sfdi']}" in again
    assert again.count("(was there)") == 2


def test_certs_show_says_what_is_wrong_and_exits_3(tmp_path: Path) -> None:
    made = make_pki(tmp_path, ["a"], not_after=datetime.now(UTC) - timedelta(days=1))
    good, bad = (run("show", each.cert_file) for each in (made.server, made.device["a"]))
    assert (good.exit_code, bad.exit_code) == (Exit.OK, Exit.DEGRADED)
    assert made.server.lfdi in good.stdout
    assert "finding  expired on" in bad.stdout
    document = json.loads(run("show", made.device["a"].cert_file, "--json").stdout)
    assert document["ok"] is False


# --- the hardware module's name ------------------------------------------------------


def test_a_hardware_module_name_is_what_the_encoding_rules_say() -> None:
    assert hardware_module_name(32473, "abc").hex() == "301006092b0601040181fd59010403616263"


@given(st.integers(0, 2**32 - 1), st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_a_serial_number_of_any_length_is_read_back(pen: int, serial: str) -> None:
    assert serial_number(hardware_module_name(pen, serial)) == serial


@given(st.binary(max_size=40))
def test_octets_that_are_no_such_name_have_no_serial_number_or_some(octets: bytes) -> None:
    assert serial_number(octets).isprintable()
