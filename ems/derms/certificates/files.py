"""Writes keys and certificates: whole or not at all, and never over what is there."""

import os
from pathlib import Path
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ems.derms.certificates.authority import Signer
from ems.errors import BadInput

_OWNER_ONLY = 0o600
_READABLE = 0o644


def write_pair(stem: Path, signer: Signer, chain: tuple[x509.Certificate, ...] = ()) -> None:
    """Write `stem.key` and, last, `stem.pem` with the certificates that lead towards the root."""
    key = signer.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    certificates = (signer.certificate, *chain)
    pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)
    _write_new(key_beside(stem), key, _OWNER_ONLY)
    _write_new(certificate_beside(stem), pem, _READABLE)


def read_signer(stem: Path) -> Signer:
    """The authority kept under these two files."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_beside(stem).read_bytes())
        key = serialization.load_pem_private_key(key_beside(stem).read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as fault:
        raise BadInput.at(str(stem.parent), f"{stem.name} cannot be read: {fault}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadInput.at(str(key_beside(stem)), "is no key on an elliptic curve")
    if certificate.public_key() != key.public_key():
        raise BadInput.at(str(key_beside(stem)), f"is not the key of {stem.name}.pem")
    return Signer(certificate=certificate, key=key)


def certificate_beside(stem: Path) -> Path:
    """Where the certificate stands; a name may hold dots, so that no suffix is replaced."""
    return stem.with_name(f"{stem.name}.pem")


def key_beside(stem: Path) -> Path:
    """Where the key stands."""
    return stem.with_name(f"{stem.name}.key")


def _write_new(file: Path, content: bytes, rights: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{uuid4().hex}")
    # Made with its final rights: there is no moment in which others could open the key.
    opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, rights)
    try:
        with os.fdopen(opened, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # A link, since renaming would replace a file that another process wrote meanwhile.
        file.hardlink_to(draft)
    except FileExistsError:
        raise BadInput.at(str(file), "exists; nothing is ever overwritten") from None
    finally:
        draft.unlink()
