"""Signs certificates of the profile that IEEE 2030.5 asks for.

A root (the standard's SERCA) signs an intermediate (MICA), and that signs devices: EC P-256 keys,
ECDSA with SHA-256, no end of validity, an empty subject, and every extension that says what a
certificate may be used for marked critical (IEEE 2030.5-2018, 6.11.7 and 6.11.8; RFC 5280). A
server, an aggregator and an administrator are devices too. Their policy says that they are for
tests: a certificate for the field comes from the manufacturer's authority.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ems.derms.certificates.hardware import HARDWARE_MODULE_NAME, hardware_module_name

ANY_POLICY = x509.ObjectIdentifier("2.5.29.32.0")
"""RFC 5280, 4.2.1.4."""
GENERIC_DEVICE = x509.ObjectIdentifier("1.3.6.1.4.1.40732.1.1")
"""IEEE 2030.5-2018, 6.11.7.2: neither mobile nor given its certificate after manufacture."""
TEST_CERTIFICATE = x509.ObjectIdentifier("1.3.6.1.4.1.40732.2.1")
"""IEEE 2030.5-2018, 6.11.7.3."""

INDEFINITE = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Never ends (RFC 5280, 4.1.2.5): a device keeps its certificate, and so its LFDI, for life."""

EARLIER = timedelta(days=1)
"""How long before its making a certificate holds: a device's clock may not have been set yet."""


_DNS_NAME = re.compile(r"(?!.{254})[A-Za-z0-9_*]([A-Za-z0-9_.*-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def root(now: datetime, name: str = "GEEMS test root") -> Signer:
    """An authority that trusts itself."""
    key = _new_key()
    called = _named(name)
    builder = (
        _begun(called, called, key, now - EARLIER, INDEFINITE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_signs_certificates(), critical=True)
        .add_extension(_policies(ANY_POLICY), critical=True)
    )
    return Signer(certificate=builder.sign(key, hashes.SHA256()), key=key)


def intermediate(issuer: Signer, now: datetime, name: str = "GEEMS test intermediate") -> Signer:
    """An authority that signs devices, and no further authority."""
    key = _new_key()
    builder = (
        _begun(_named(name), issuer.certificate.subject, key, now - EARLIER, INDEFINITE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signs_certificates(), critical=True)
        .add_extension(_policies(GENERIC_DEVICE, TEST_CERTIFICATE), critical=True)
        .add_extension(_authority(issuer), critical=False)
    )
    return Signer(certificate=builder.sign(issuer.key, hashes.SHA256()), key=key)


def device(
    issuer: Signer,
    serial: str,
    now: datetime,
    *,
    pen: int,
    hosts: Sequence[str] = (),
    not_after: datetime = INDEFINITE,
) -> Signer:
    """A device's certificate; `hosts` are the names and addresses a server is reached by."""
    key = _new_key()
    module = x509.OtherName(HARDWARE_MODULE_NAME, hardware_module_name(pen, serial))
    names = [module, *(host_name(host) for host in hosts)]
    begins = min(now, not_after) - EARLIER
    builder = (
        _begun(x509.Name([]), issuer.certificate.subject, key, begins, not_after)
        .add_extension(_proves_and_agrees(), critical=True)
        .add_extension(_policies(GENERIC_DEVICE, TEST_CERTIFICATE), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(_authority(issuer), critical=False)
    )
    return Signer(certificate=builder.sign(issuer.key, hashes.SHA256()), key=key)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def host_name(host: str) -> x509.GeneralName:
    """An address, or a name of DNS in ASCII.

    Raises ValueError where it is neither.
    """
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        if not _DNS_NAME.fullmatch(host):
            raise
        return x509.DNSName(host)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _authority(issuer: Signer) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def _policies(*policies: x509.ObjectIdentifier) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(oid, None) for oid in policies])


def _signs_certificates() -> x509.KeyUsage:
    return _usage(key_cert_sign=True, crl_sign=True)


def _proves_and_agrees() -> x509.KeyUsage:
    return _usage(digital_signature=True, key_agreement=True)


def _usage(**allowed: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**(dict.fromkeys(_USES, False) | allowed))


_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
