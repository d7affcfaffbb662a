"""What certificates in files say, and what a peer will refuse about them."""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from ems.derms.certificates.authority import ANY_POLICY
from ems.derms.certificates.hardware import HARDWARE_MODULE_NAME, serial_number
from ems.errors import BadInput, Fault
from ems.protocols.ieee2030_5.identity import lfdi_of, sfdi_of

E = TypeVar("E", bound=x509.ExtensionType)

WARN_BEFORE = timedelta(days=60)
"""Long enough to have a certificate renewed, and its new LFDI registered, in office hours."""

POLICIES = {
    ANY_POLICY.dotted_string: "any policy",
    "1.3.6.1.4.1.40732.1.1": "generic device",
    "1.3.6.1.4.1.40732.1.2": "mobile device",
    "1.3.6.1.4.1.40732.1.3": "device certified after manufacture",
    "1.3.6.1.4.1.40732.2.1": "test certificate",
    "1.3.6.1.4.1.40732.2.2": "self-signed client",
    "1.3.6.1.4.1.40732.2.3": "service provider",
    "1.3.6.1.4.1.40732.2.4": "bulk-issued",
}
"""Policies of IEEE 2030.5-2018, 6.11.7.2 and 6.11.7.3, and what they are called here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A certificate, as far as IEEE 2030.5 cares."""

    file: Path
    authority: bool
    """It signs others; else it is a device's, a server's, an aggregator's."""
    name: str
    """Serial number of the hardware module, else the subject."""
    hosts: tuple[str, ...]
    """Names and addresses it vouches for."""
    lfdi: str
    sfdi: int
    not_before: datetime
    not_after: datetime
    policies: tuple[str, ...]
    findings: tuple[str, ...]
    """What a strict peer refuses, or will soon; empty where nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """A certificate that has ended, will soon, or has not begun."""

    file: Path
    name: str
    not_after: datetime
    problem: str

    def __str__(self) -> str:
        return f"{self.file} ({self.name}) {self.problem}"


def expiring(
    files: Iterable[Path], now: datetime, within: timedelta = WARN_BEFORE
) -> tuple[Expiry, ...]:
    """Certificates of these files that do not hold until `now + within`, chains included.

    Raises BadInput with every file that holds no certificate.
    """
    return tuple(
        Expiry(file=file, name=_name(each), not_after=each.not_valid_after_utc, problem=problem)
        for file, chain in _chains(files).items()
        for each in chain
        for problem in _validity(each, now, within)
    )


def shown(files: Iterable[Path], now: datetime) -> tuple[Shown, ...]:
    """The first certificate of each file, judged with the chain and the key that stand with it."""
    return tuple(_shown(file, chain, now) for file, chain in _chains(files).items())


def _chains(files: Iterable[Path]) -> dict[Path, list[x509.Certificate]]:
    chains: dict[Path, list[x509.Certificate]] = {}
    faults: list[Fault] = []
    for file in files:
        try:
            chains[file] = x509.load_pem_x509_certificates(file.read_bytes())
        except OSError as fault:
            problem = f"cannot be read: {fault.strerror}"
            faults.append(Fault(place=str(file), problem=problem))
            continue
        except ValueError:
            faults.append(Fault(place=str(file), problem="holds no certificate in PEM form"))
            continue
        try:
            _ = [each.extensions for each in chains[file]]  # read here, used without doubt below
        except (ValueError, x509.DuplicateExtension) as fault:
            faults.append(Fault(place=str(file), problem=f"its extensions are malformed: {fault}"))
    if faults:
        raise BadInput(faults)
    return chains


def _shown(file: Path, chain: list[x509.Certificate], now: datetime) -> Shown:
    first = chain[0]
    lfdi = lfdi_of(first.public_bytes(Encoding.DER))
    policies = _extension(first, x509.CertificatePolicies)
    alternative = _extension(first, x509.SubjectAlternativeName)
    hosts: list[str] = []
    if alternative:
        hosts += alternative.value.get_values_for_type(x509.DNSName)
        hosts += map(str, alternative.value.get_values_for_type(x509.IPAddress))
    ends = [f for each in chain for f in _validity(each, now, WARN_BEFORE)]
    judged = _authority(first) if _signs(first) else _device(first)
    return Shown(
        file=file,
        authority=_signs(first),
        name=_name(first),
        hosts=tuple(hosts),
        lfdi=lfdi,
        sfdi=sfdi_of(lfdi),
        not_before=first.not_valid_before_utc,
        not_after=first.not_valid_after_utc,
        policies=tuple(_policy(each) for each in policies.value) if policies else (),
        findings=(*ends, *judged, *_chained(chain), *_key(file, first)),
    )


def _validity(each: x509.Certificate, now: datetime, within: timedelta) -> Iterator[str]:
    begins, ends = each.not_valid_before_utc, each.not_valid_after_utc
    if now > ends:
        yield f"expired on {ends:%Y-%m-%d}: peers refuse it; have it renewed"
    elif now < begins:
        yield f"is not valid before {begins:%Y-%m-%d %H:%M} UTC: is the clock right?"
    elif now + within > ends:
        yield f"expires on {ends:%Y-%m-%d}, in {(ends - now).days} days: have it renewed"


def _authority(each: x509.Certificate) -> Iterator[str]:
    basic = _extension(each, x509.BasicConstraints)
    if basic and not basic.critical:
        yield "basicConstraints is not critical"
    usage = _extension(each, x509.KeyUsage)
    if usage is None or not usage.critical or not usage.value.key_cert_sign:
        yield "keyUsage must be critical and allow keyCertSign"
    yield from _curve(each)


def _device(each: x509.Certificate) -> Iterator[str]:
    usage = _extension(each, x509.KeyUsage)
    if usage is None or not usage.critical or not usage.value.digital_signature:
        yield "keyUsage must be critical and allow digitalSignature"
    policies = _extension(each, x509.CertificatePolicies)
    if policies is None or not policies.critical:
        yield "certificatePolicies must be there and critical"
    elif not any(p.policy_identifier.dotted_string in POLICIES for p in policies.value):
        yield "certificatePolicies names no policy of IEEE 2030.5 (1.3.6.1.4.1.40732.1 and .2)"
    alternative = _extension(each, x509.SubjectAlternativeName)
    if alternative is None or not _module(each):
        yield "subjectAltName holds no HardwareModuleName"
    elif not alternative.critical:
        yield "subjectAltName is not critical"
    yield from _curve(each)


def _curve(each: x509.Certificate) -> Iterator[str]:
    key = each.public_key()
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        yield "the key is not on the curve P-256, which the cipher suite of IEEE 2030.5 needs"
    if each.signature_algorithm_oid != x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        yield "it is not signed by ECDSA with SHA-256"


def _chained(chain: list[x509.Certificate]) -> Iterator[str]:
    for signed, signer in pairwise(chain):
        try:
            signed.verify_directly_issued_by(signer)
        except (InvalidSignature, ValueError, TypeError):
            yield f"the next certificate in the file, {_name(signer)}, did not sign {_name(signed)}"


def _key(file: Path, each: x509.Certificate) -> Iterator[str]:
    key_file = file.with_suffix(".key")
    if not key_file.is_file():
        return
    if stat.S_IMODE(key_file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        yield f"{key_file.name} can be opened by others: chmod 600 {key_file}"
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except OSError as fault:
        yield f"{key_file.name} cannot be read: {fault.strerror}"
    except TypeError:
        yield f"{key_file.name} is encrypted, and a service cannot be asked for its password"
    except ValueError:
        yield f"{key_file.name} holds no private key in PEM form"
    else:
        if key.public_key() != each.public_key():
            yield f"{key_file.name} is not its key"


def _signs(each: x509.Certificate) -> bool:
    basic = _extension(each, x509.BasicConstraints)
    return basic is not None and basic.value.ca


def _name(each: x509.Certificate) -> str:
    return _module(each) or each.subject.rfc4514_string() or "without a name"


def _module(each: x509.Certificate) -> str:
    alternative = _extension(each, x509.SubjectAlternativeName)
    others = alternative.value.get_values_for_type(x509.OtherName) if alternative else []
    names = [serial_number(o.value) for o in others if o.type_id == HARDWARE_MODULE_NAME]
    return names[0] if names else ""


def _policy(policy: x509.PolicyInformation) -> str:
    oid = policy.policy_identifier.dotted_string
    return POLICIES.get(oid, oid)


def _extension(each: x509.Certificate, kind: type[E]) -> x509.Extension[E] | None:
    try:
        return each.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
