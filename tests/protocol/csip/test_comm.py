"""COMM-002 … COMM-004: how a client finds the server, and who may speak.

Source, where a test names CTP 1.3: the SunSpec CSIP Conformance Test Procedures, version 1.3 with
its errata, in the public catalogue `testdata/catalog/catalog.json` of
github.com/dsizzle83/csip-tls-test.
"""

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ems.derms.certificates import Issued, Pki, issued_at
from tests.protocol.csip.utility import ANSWER_S, SUITE, Client, Utility, tls

ENDS = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
POLICY = x509.ObjectIdentifier("1.3.6.1.4.1.40732.1.1")
"""A generic device, in the standard's certificate policies."""


def test_comm_002_a_client_that_was_told_address_port_and_path_finds_the_resources(
    utility: Utility,
) -> None:
    """CTP 1.3, COMM-002 basic discovery out of band: GET dcap, then what it links to."""
    utility.register("client")
    client = utility.client("client")
    dcap = client.get("/dcap")
    assert dcap.xml.get("href") == "/dcap"
    for link in ("TimeLink", "EndDeviceListLink", "MirrorUsagePointListLink", "SelfDeviceLink"):
        assert client.get(dcap.link(link)).xml is not None


def test_comm_003_tls_1_2_with_ccm_8_and_a_certificate_on_both_sides(utility: Utility) -> None:
    """CTP 1.3, COMM-003 basic security: HTTPS, TLS 1.2, ECDHE-ECDSA-AES128-CCM-8, dcap over it."""
    utility.register("client")
    host, port = utility.server.address
    context = tls(utility.pki, utility.issued("client"), ciphers="ALL:@SECLEVEL=0")
    with (
        socket.create_connection((host, port), ANSWER_S) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        assert secured.version() == "TLSv1.2"
        assert (secured.cipher() or ("",))[0] == SUITE
        own = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
        key = own.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"
        secured.sendall(b"GET /dcap HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: secured.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"<DeviceCapability " in answer


class Chain:
    """Signs what a test asks for, under the root that the server trusts."""

    def __init__(self, pki: Pki, folder: Path) -> None:
        self.folder = folder
        self.root = self._read(pki.folder / "root")
        self.anchor = pki.ca_file

    @staticmethod
    def _read(stem: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = serialization.load_pem_private_key(
            stem.with_suffix(".key").read_bytes(), password=None
        )
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificate(stem.with_suffix(".pem").read_bytes()), key

    def sign(
        self,
        subject: str,
        issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
        *,
        authority: bool,
        extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        by, signing = (issuer[0].subject, issuer[1]) if issuer else (name, key)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(by)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(ENDS)
            .add_extension(_usage(authority=authority), critical=True)
            .add_extension(
                x509.CertificatePolicies([x509.PolicyInformation(POLICY, None)]), critical=True
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()),
                critical=False,
            )
        )
        if authority:
            constraints = x509.BasicConstraints(ca=True, path_length=None)
            builder = builder.add_extension(constraints, critical=True)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(signing, hashes.SHA256()), key

    def device(
        self,
        *authorities: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
        self_signed: bool = False,
    ) -> Issued:
        """A device under authorities, from the root's own down; its chain as TLS sends it."""
        issuer = None if self_signed else (authorities or (self.root,))[-1]
        certificate, key = self.sign("device", issuer, authority=False)
        chain = [certificate, *(made for made, _ in reversed(authorities))]
        pem, secret = self.folder / "device.pem", self.folder / "device.key"
        pem.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return issued_at(pem, secret)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


@pytest.fixture
def chain(pki: Pki, tmp_path: Path) -> Chain:
    return Chain(pki, tmp_path)


def speaks(utility: Utility, issued: Issued) -> bool:
    """Whether dcap is answered to this certificate; a refusal may be TLS', TCP's or a 403."""
    client = Client(utility.url, tls(utility.pki, issued), issued)
    try:
        return client.ask("GET", "/dcap").status == 200
    except (httpx2.TransportError, ssl.SSLError):
        return False
    finally:
        client.http.close()


@pytest.mark.parametrize("length", [2, 3, 4])
def test_comm_004abc_chains_of_two_three_and_four_certificates_are_accepted(
    utility: Utility, chain: Chain, length: int
) -> None:
    """CTP 1.3, COMM-004A, B, C: SERCA → device, → MICA → device, → MCA → MICA → device."""
    authorities: list[tuple[x509.Certificate, ec.EllipticCurvePrivateKey]] = []
    for level in range(length - 2):
        issuer = authorities[-1] if authorities else chain.root
        authorities.append(chain.sign(f"authority {level}", issuer, authority=True))
    assert speaks(utility, chain.device(*authorities))


INVALID: dict[str, Callable[[], tuple[x509.ExtensionType, bool]]] = {
    "D extended key usage, critical": lambda: (
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        True,
    ),
    "E name constraints, not critical": lambda: (
        x509.NameConstraints([x509.DNSName("example.org")], None),
        False,
    ),
    "F policy mappings, not critical": lambda: (
        x509.UnrecognizedExtension(
            # SEQUENCE OF SEQUENCE: the generic device's policy stands for the mobile device's.
            x509.ObjectIdentifier("2.5.29.33"),
            bytes.fromhex("301c301a060b2b0601040182be1c0101060b2b0601040182be1c0102"),
        ),
        False,
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_comm_004def_an_authority_with_what_the_standard_forbids_is_refused(
    utility: Utility, chain: Chain, case: str
) -> None:
    """CTP 1.3, COMM-004D, E, F: extended key usage, name constraints, policy mappings in a MICA.

    By alert, by closing the connection, or by 403 (erratum 7); the server says why.
    """
    authority = chain.sign("authority", chain.root, authority=True, extra=(INVALID[case](),))
    assert not speaks(utility, chain.device(authority))
    assert sum(utility.server.refusals.counts.values()) == 1
    plain = chain.sign("authority", chain.root, authority=True)
    assert speaks(utility, chain.device(plain))


def test_comm_004g_a_certificate_that_signs_itself_is_refused(
    utility: Utility, chain: Chain
) -> None:
    """CTP 1.3, COMM-004G: a self-signed device certificate."""
    assert not speaks(utility, chain.device(self_signed=True))
    assert [refused.why for refused in utility.server.refusals.last] == [
        "certificate refused: self-signed certificate"
    ]
