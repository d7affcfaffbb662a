"""The aggregate load's meter, SunSpec models 201 to 204: consumption positive."""

from collections.abc import Sequence
from datetime import datetime

from ems.domain import LoadReading
from ems.errors import DeviceError
from ems.gateways.image import Chain, Image, Span, spans
from ems.gateways.quantities import kilo, needed, told
from ems.protocols.sunspec import model

METERS = (203, 204, 202, 201)
"""Three phases with and without neutral, split phase, single phase."""


class Meter:
    """A meter of any number of phases."""

    def __init__(self, place: str, chain: Chain) -> None:
        """Find the meter.

        Raises:
            DeviceError: there is none.
        """
        found = [m for m in METERS if m in chain]
        if not found:
            raise DeviceError(
                f"{place}: lacks SunSpec model {METERS[0]} (it has {chain.models}); it is no meter"
            )
        self._name = place
        self._place = chain.place(found[0])
        self._size = model(found[0]).length
        self._spans = spans(chain, {found[0]: self._size}, merged=True)

    def to_read_load(self) -> Sequence[Span]:
        """The whole model."""
        return self._spans

    def load(self, image: Image, now: datetime) -> LoadReading:
        """Consumption."""
        block = image.block(self._place, self._size)
        return LoadReading(
            time=now,
            p_kw=needed(block, "W", self._name) / 1000,
            q_kvar=kilo(told(block, "VAR", self._name)),
        )
