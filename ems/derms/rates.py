"""How often devices shall ask and report."""

import json
from dataclasses import asdict

from ems.derms.kept import Kept
from ems.derms.served import Rates
from ems.errors import BadInput, Fault

MOST_RATE_S = 0xFFFF_FFFF
"""Bits of pollRate and postRate."""


class Pace:
    """The rates of all devices for which nothing else is said."""

    def __init__(self, kept: Kept) -> None:
        """Take up what was kept."""
        self._kept = kept
        self.rates = Rates(poll_s=30, post_s=60)
        for held in kept.keeper.documents("rates"):
            self.rates = Rates(**json.loads(held.body or ""))

    def set_rates(self, *, poll_s: int | None = None, post_s: int | None = None) -> Rates:
        """How often devices shall ask and report from now on [s].

        Raises:
            BadInput: a rate that is no whole number of seconds above 0.
        """
        rates = Rates(
            poll_s=self.rates.poll_s if poll_s is None else poll_s,
            post_s=self.rates.post_s if post_s is None else post_s,
        )
        faults = [
            Fault(
                place=f"rates.{name}",
                problem=f"{value} is no number of seconds from 1 to {MOST_RATE_S}",
            )
            for name, value in asdict(rates).items()
            if not 0 < value <= MOST_RATE_S
        ]
        if faults:
            raise BadInput(faults)
        self.rates = rates
        self._kept.keep(self._kept.put("rates", "rates", asdict(rates)))
        self._kept.tell("/dcap")
        return rates
