"""Which modes ask for the same thing of a DER, so that only one of them can be in force."""

from functools import lru_cache

_CHARGING, _DELIVERING = "reactive power while charging", "reactive power while delivering"
_BOTH = frozenset({_CHARGING, _DELIVERING})
_ACTIVE = frozenset({"active power"})
_FREQUENCY = frozenset({"response to frequency"})

SHARED = {
    "opModFixedVar": _BOTH,
    "opModTargetVar": _BOTH,
    "opModVoltVar": _BOTH,
    "opModWattVar": _BOTH,
    "opModWattPF": _BOTH,
    "opModFixedPFInjectW": frozenset({_DELIVERING}),
    "opModFixedPFAbsorbW": frozenset({_CHARGING}),
    "opModFixedW": _ACTIVE,
    "opModTargetW": _ACTIVE,
    "opModFreqDroop": _FREQUENCY,
    "opModFreqWatt": _FREQUENCY,
}
"""Functions of modes that exclude each other: IEEE Std 1547-2018, 5.3.1 (one reactive mode at a
time), 6.5.2.7. Every other mode is a function of its own."""


def functions_of(mode: str) -> frozenset[str]:
    """What a mode asks for."""
    return SHARED.get(mode) or frozenset({mode})


@lru_cache
def functions_of_all(modes: frozenset[str]) -> frozenset[str]:
    """What several modes ask for together."""
    return frozenset().union(*map(functions_of, modes))


def contradict(modes: frozenset[str]) -> bool:
    """Whether two of the modes of one control exclude each other."""
    return len(functions_of_all(modes)) < sum(len(functions_of(mode)) for mode in modes)
