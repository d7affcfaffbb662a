"""A private key that wants a password."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization


def locked(key_file: Path) -> Path:
    """The same key, encrypted, in a file beside it."""
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    file = key_file.with_name(f"locked-{key_file.name}")
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return file
