"""`geems demo`: a simulated plant, the whole EMS on real sockets, and the page."""

from ems.demo.link import FieldKind
from ems.demo.play import run_demo

__all__ = ["FieldKind", "run_demo"]
