"""The record of one cycle, and the one JSON form it is kept in."""

from ems.record.gathered import record
from ems.record.lines import from_json, setup_from_json, setup_to_json, to_json

__all__ = ["from_json", "record", "setup_from_json", "setup_to_json", "to_json"]
