"""What an inverter or a generator set is doing, in the words of model 701."""

from collections.abc import Mapping

from ems.plant.genset import GensetState
from ems.plant.inverter import State, TripCauses

OFF, ON = 0, 1
SLEEPING, STARTING, RUNNING, THROTTLED, SHUTTING_DOWN, FAULT, STANDBY = 1, 2, 3, 4, 5, 6, 7
"""InvSt."""
DISCONNECTED, CONNECTED = 0, 1
GRID_FOLLOWING, PV_CLIPPED = 1 << 0, 1 << 2
NO_ALARM = 0
OVER_FREQUENCY, UNDER_FREQUENCY, OVER_VOLTAGE, UNDER_VOLTAGE = 1 << 8, 1 << 9, 1 << 10, 1 << 11
"""Alrm."""


def inverter_operation(
    state: State, causes: TripCauses, *, idle: bool, held_back: bool
) -> Mapping[str, int]:
    """Raw values of 701.St, InvSt, ConnSt, Alrm and DERMode.

    Args:
        state: of the inverter.
        causes: of its last trip, until they are reset.
        idle: whether there is no sun.
        held_back: whether a PV plant delivers less than the sun offers.
    """
    alarms = (
        OVER_VOLTAGE * causes.high_voltage
        | UNDER_VOLTAGE * causes.low_voltage
        | OVER_FREQUENCY * causes.high_frequency
        | UNDER_FREQUENCY * causes.low_frequency
    )
    tripped = state is State.TRIPPED
    return {
        "St": OFF if tripped else ON,
        "InvSt": _inverter_state(state, idle=idle, held_back=held_back, alarms=alarms),
        "ConnSt": DISCONNECTED if tripped else CONNECTED,
        "Alrm": alarms,
        "DERMode": GRID_FOLLOWING | PV_CLIPPED * (held_back and not tripped),
    }


def genset_operation(state: GensetState) -> Mapping[str, int]:
    """Raw values of 701.St, InvSt and ConnSt."""
    connected = state in (GensetState.RUNNING, GensetState.UNLOADING)
    shown = {
        GensetState.OFF: OFF,
        GensetState.STARTING: STARTING,
        GensetState.RUNNING: RUNNING,
        GensetState.UNLOADING: SHUTTING_DOWN,
        GensetState.COOLING: SHUTTING_DOWN,
    }
    return {
        "St": OFF if state is GensetState.OFF else ON,
        "InvSt": shown[state],
        "ConnSt": CONNECTED if connected else DISCONNECTED,
    }


def _inverter_state(state: State, *, idle: bool, held_back: bool, alarms: int) -> int:
    match state:
        case State.TRIPPED:
            return FAULT if alarms else STANDBY
        case State.STARTING:
            return STARTING
        case State.CEASED:
            return STANDBY
        case State.RUNNING | State.RIDING_THROUGH:
            if idle:
                return SLEEPING
            return THROTTLED if held_back else RUNNING
