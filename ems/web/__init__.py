"""The REST service and the page of the operator."""

from ems.web.app import create_app
from ems.web.health import DeviceHealth, Health
from ems.web.server import bind, run, url_of

__all__ = ["DeviceHealth", "Health", "bind", "create_app", "run", "url_of"]
