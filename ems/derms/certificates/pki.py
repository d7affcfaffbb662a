"""A folder of certificates for tests and trials: a root, an intermediate, and whom they know.

root.pem root.key  intermediate.pem intermediate.key  server.pem server.key
devices/NAME.pem  aggregators/NAME.pem  administrators/NAME.pem     and their keys
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ems.derms.certificates import authority
from ems.derms.certificates.authority import INDEFINITE, Signer
from ems.derms.certificates.files import certificate_beside, key_beside, read_signer, write_pair
from ems.errors import BadInput, Fault
from ems.protocols.ieee2030_5.identity import lfdi_of, sfdi_of

LOOPBACK = ("localhost", "127.0.0.1")
EXAMPLE_PEN = 32473
"""Private enterprise number that is kept for examples (RFC 5612)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names that are files on every system, and serial numbers in a certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate with its key, as files, and the identifiers that follow from it."""

    cert_file: Path
    """The certificate, then the intermediate's."""
    key_file: Path
    lfdi: str
    """Long form device identifier: 40 upper-case hexadecimal digits."""
    sfdi: int
    """Short form device identifier, check digit last."""
    new: bool
    """It was made now; else it was there, and stays as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """What stands in a folder of certificates, as far as it was asked for."""

    folder: Path
    ca_file: Path
    """The root: what both sides are to trust."""
    server: Issued
    device: Mapping[str, Issued]
    """By name; so are the following."""
    aggregator: Mapping[str, Issued]
    administrator: Mapping[str, Issued]


def make_pki(
    folder: Path,
    devices: Sequence[str],
    *,
    aggregators: Sequence[str] = (),
    administrators: Sequence[str] = (),
    hosts: Sequence[str] = LOOPBACK,
    pen: int = EXAMPLE_PEN,
    not_after: datetime = INDEFINITE,
    now: datetime | None = None,
) -> Pki:
    """Make what is missing of these certificates; what exists is kept, and nothing overwritten.

    `hosts` are the names and addresses the server is reached by; `not_after` ends devices'
    validity, for trials of what follows; `now` is the machine's time where it is not given. Raises
    BadInput, before anything is written, where a name is no file name or a pair is not whole.
    """
    kinds = {"devices": devices, "aggregators": aggregators, "administrators": administrators}
    faults = [*_faults(folder, kinds), *_host_faults(hosts)]
    if faults:
        raise BadInput(faults)
    at = now or datetime.now(UTC)
    signer = _authorities(folder, at)
    folder_of = _Folder(folder=folder, signer=signer, now=at, pen=pen, not_after=not_after)
    return Pki(
        folder=folder,
        ca_file=folder / "root.pem",
        server=folder_of.issued(folder / "server", "server", hosts),
        **{
            kind.removesuffix("s"): {
                name: folder_of.issued(folder / kind / name, name) for name in names
            }
            for kind, names in kinds.items()
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    folder: Path
    signer: Signer
    now: datetime
    pen: int
    not_after: datetime

    def issued(self, stem: Path, serial: str, hosts: Sequence[str] = ()) -> Issued:
        new = not certificate_beside(stem).exists()
        if new:
            ends = INDEFINITE if hosts else self.not_after
            made = authority.device(
                self.signer, serial, self.now, pen=self.pen, hosts=hosts, not_after=ends
            )
            write_pair(stem, made, (self.signer.certificate,))
        return issued_at(certificate_beside(stem), key_beside(stem), new=new)


def issued_at(cert_file: Path, key_file: Path, *, new: bool = False) -> Issued:
    """The identifiers of a certificate that stands in a file."""
    der = x509.load_pem_x509_certificate(cert_file.read_bytes()).public_bytes(Encoding.DER)
    lfdi = lfdi_of(der)
    return Issued(cert_file=cert_file, key_file=key_file, lfdi=lfdi, sfdi=sfdi_of(lfdi), new=new)


def _authorities(folder: Path, now: datetime) -> Signer:
    """The intermediate that signs devices, made with its root where the folder has none."""
    if certificate_beside(folder / "intermediate").exists():
        return read_signer(folder / "intermediate")
    if certificate_beside(folder / "root").exists():
        root = read_signer(folder / "root")
    else:
        root = authority.root(now)
        write_pair(folder / "root", root)
    signer = authority.intermediate(root, now)
    write_pair(folder / "intermediate", signer)
    return signer


def _faults(folder: Path, kinds: Mapping[str, Sequence[str]]) -> Iterator[Fault]:
    stems = [folder / "server"]
    if not _whole(folder / "intermediate"):  # with it, the root's key may be kept elsewhere
        stems += [folder / "intermediate", folder / "root"]
    for kind, names in kinds.items():
        for name in names:
            if not _NAME.fullmatch(name):
                problem = "use letters, digits, and . _ - inside, 64 at most"
                yield Fault(place=f"{kind}: {name!r}", problem=problem)
            else:
                stems.append(folder / kind / name)
        for name in sorted({name for name in names if list(names).count(name) > 1}):
            yield Fault(place=f"{kind}: {name}", problem="is named twice")
    if _whole(folder / "intermediate") and not (folder / "root.pem").exists():
        yield Fault(place=str(folder / "root.pem"), problem="is missing beside intermediate.pem")
    for stem in stems:
        present = [file for file in (certificate_beside(stem), key_beside(stem)) if file.exists()]
        if len(present) == 1:
            problem = "stands without its other half: bring that back, or move this away"
            yield Fault(place=str(present[0]), problem=problem)


def _host_faults(hosts: Sequence[str]) -> Iterator[Fault]:
    for host in hosts:
        try:
            authority.host_name(host)
        except ValueError:
            problem = "is no address, and no host name in ASCII (write xn--… for others)"
            yield Fault(place=f"host: {host!r}", problem=problem)


def _whole(stem: Path) -> bool:
    return certificate_beside(stem).exists() and key_beside(stem).exists()
