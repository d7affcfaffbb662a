"""Whether the files by which devices and GEEMS prove who they are can be used."""

import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ems.domain.address import TlsFiles
from ems.errors import Fault
from ems.settings import Settings
from ems.settings.schema import DERS

Finding = tuple[str, str]
"""Key, and what is wrong with its file."""


def tls_faults(file_name: str, settings: Settings) -> Iterator[Fault]:
    """Files named in `device` tables and `[utility]` that are missing or something else."""
    found = cache(lambda files: tuple(file_faults(files)))  # the devices of a fleet share theirs
    tables: dict[str, str] = {"load": "load"}
    for kind in DERS:
        tables |= {der.name: f"{kind}[{i}]" for i, der in enumerate(getattr(settings, kind))}
    for name, address in settings.addresses().items():
        for key, problem in () if address.tls is None else found(address.tls):
            yield Fault(place=f"{file_name}: {tables[name]}.device.{key}", problem=problem)
    if settings.utility is not None:
        for key, problem in file_faults(_of_utility(settings)):
            yield Fault(place=f"{file_name}: utility.{key}", problem=problem)


def _of_utility(settings: Settings) -> TlsFiles:
    table, beside = settings.utility, settings.file.parent
    assert table is not None  # noqa: S101 - as its caller has seen
    return TlsFiles(
        ca_file=beside / table.ca_file,
        cert_file=beside / table.cert_file,
        key_file=beside / table.key_file,
    )


def file_faults(files: TlsFiles) -> Iterator[Finding]:
    """What is wrong with the three files of one end, each by its key."""
    unread = {}
    for key in ("ca_file", "cert_file", "key_file"):
        if problem := _unreadable(getattr(files, key)):
            unread[key] = problem
            yield key, problem
    for key in ("ca_file", "cert_file"):
        if key not in unread and not _holds_certificate(getattr(files, key)):
            unread[key] = f"{getattr(files, key)} holds no certificate in PEM form"
            yield key, unread[key]
    if not unread.keys() & {"cert_file", "key_file"} and (problem := _key_fault(files)):
        yield "key_file", problem


def _unreadable(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except FileNotFoundError:
        return f"no such file: {file}"
    except OSError as fault:
        return f"{file} cannot be read: {fault.strerror}"
    return ""


def _holds_certificate(file: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except ssl.SSLError:
        return False
    return True


def _key_fault(files: TlsFiles) -> str:
    """What is wrong with the key of a certificate that is sound; empty where nothing is."""
    asked = []

    def password() -> str:
        asked.append(True)  # else OpenSSL would ask the terminal, and a service has none
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            files.cert_file, files.key_file, password
        )
    except (ssl.SSLError, ValueError) as fault:
        if asked:
            return f"{files.key_file} is encrypted, and nobody can be asked for its password"
        if getattr(fault, "reason", "") == "KEY_VALUES_MISMATCH":
            return f"{files.key_file} is not the key of {files.cert_file}"
        return f"{files.key_file} holds no private key in PEM form"
    return ""
