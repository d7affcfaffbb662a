"""What several keys of a site file must be together.

A rule looks only at values in which nothing else is wrong, so one slip is told once, and
all slips are told together.
"""

from collections.abc import Callable, Iterator

from ems.settings.rules import bounds, devices, end_devices, network, tariff
from ems.settings.rules.end_devices import WRITE_ROUNDS
from ems.settings.rules.sound import Finding, Sound

__all__ = ["WRITE_ROUNDS", "Finding", "Sound", "findings"]

_RULES: tuple[Callable[[Sound], Iterator[Finding]], ...] = (
    *devices.RULES,
    *end_devices.RULES,
    *bounds.RULES,
    *tariff.RULES,
    *network.RULES,
)


def findings(sound: Sound) -> Iterator[Finding]:
    """Everything that is wrong between keys."""
    for rule in _RULES:
        yield from rule(sound)
