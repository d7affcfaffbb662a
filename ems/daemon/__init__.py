"""The service: its schedule, its lease, and its web in one process."""

from ems.daemon.serve import serve, serve_site
from ems.daemon.service import Service

__all__ = ["Service", "serve", "serve_site"]
