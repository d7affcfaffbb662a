"""Certificates for IEEE 2030.5: a test authority's, and those a site brings along."""

from ems.derms.certificates.authority import INDEFINITE
from ems.derms.certificates.pki import EXAMPLE_PEN, LOOPBACK, Issued, Pki, issued_at, make_pki
from ems.derms.certificates.reading import WARN_BEFORE, Expiry, Shown, expiring, shown

__all__ = [
    "EXAMPLE_PEN",
    "INDEFINITE",
    "LOOPBACK",
    "WARN_BEFORE",
    "Expiry",
    "Issued",
    "Pki",
    "Shown",
    "expiring",
    "issued_at",
    "make_pki",
    "shown",
]
