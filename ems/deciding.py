"""The decision of one interval: unconstrained, and proved; of a plan where there is one.

A `Deciding` lives as long as a cycle. It is asked again while losses are fitted, and whenever
devices turn out not to follow.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ems.constrain import constrain, without_optimum
from ems.dispatch import dispatch, fitted_loss_factor
from ems.domain import (
    Dispatch,
    Given,
    Infeasible,
    NetworkRow,
    Plan,
    RowBlock,
    Secured,
    Setpoint,
    Site,
    Unmoved,
)
from ems.errors import GeemsError, SolverFault
from ems.explain.counterfactual import Resolve
from ems.pace import Pace
from ems.planning import Planning, look_ahead
from ems.ports import Network

log = logging.getLogger(__name__)

LOSSES_KW = 1.0
"""Losses may be this far from those of the load flow where a limit at the grid is kept [kW]."""
REFITS = 2
"""Decisions made again with the losses of the load flow before."""

Pins = Mapping[str, Unmoved]


class Deciding:
    """Decides one interval, as often as it is asked."""

    def __init__(self, given: Given, network: Network, pace: Pace) -> None:
        """Look ahead, where the site asks for it.

        Args:
            given: what is decided from.
            network: the feeder, its voltages corrected.
            pace: times it all.
        """
        self._given, self._network, self._pace = given, network, pace
        before = given.before
        carried = {"loss_factor": before.loss_factor, "peak_kw": before.peak_kw}
        self._carried = {name: x for name, x in carried.items() if x is not None}
        with pace.stage("forecast"):
            self._look = look_ahead(given, network, self._carried, pace)

    @property
    def alarms(self) -> Sequence[str]:
        """What an operator must know of the plan."""
        return self._look.alarms

    @property
    def valued(self) -> Site:
        """The site, with storage at the worth that a plan finds."""
        return self._look.valued or self._given.site

    def plan_of(self, sent: Dispatch) -> Plan | None:
        """The plan whose first interval is what is sent."""
        return self._look.planning.plan_of(sent) if self._look.planning else None

    def resolve(self, pins: Pins) -> Resolve:
        """Solves the interval again for another site, DERs that cannot be moved held."""
        stay = _stay(pins)
        solve = self._look.planning.solve if self._look.planning else self.solve
        return lambda other, rows: solve(rows, stay, of=other)

    def fitted(self, pins: Pins) -> tuple[Dispatch, Secured]:
        """The decision; made again with its own losses where they decide what a limit allows."""
        free, secured = self(pins)
        site = self._given.site
        limits = (site.import_limit_kw, site.export_limit_kw, site.power_factor_min)
        for _ in range(REFITS if any(limit is not None for limit in limits) else 0):
            if not self._fit_losses(secured):
                break
            free, secured = self(pins)
        return free, secured

    def __call__(self, pins: Pins) -> tuple[Dispatch, Secured]:
        """The unconstrained dispatch, and the one that is safe: of a plan, else of the interval."""
        if (planning := self._look.planning) is not None:
            try:
                return self._planned(planning, pins)
            except GeemsError as fault:
                log.warning("%s; deciding the interval alone", fault)
                self._look.give_up(fault)
        try:
            return self._alone(pins)
        except SolverFault as fault:
            log.warning("%s; falling back", fault)
            given = self._given
            with self._pace.stage("constrain"):
                secured = without_optimum(
                    given.site, given.snapshot, given.forecast, given.price_usd_per_kwh,
                    self._network, str(fault), pins,
                )  # fmt: skip
            return secured.dispatch, secured

    def solve(
        self,
        rows: Sequence[NetworkRow] | RowBlock,
        pins: Mapping[str, Setpoint],
        *,
        generators_may_fall: bool = True,
        of: Site | None = None,
    ) -> Dispatch:
        """The dispatch of the interval alone, of the site or of another in its place."""
        given, limit_s = self._given, self._given.policy.solver_limit_s

        def work() -> tuple[Dispatch, None]:
            found = dispatch(
                of or given.site, given.snapshot, given.forecast, given.price_usd_per_kwh, rows,
                pins, generators_may_fall=generators_may_fall,
                wall_limit_s=self._pace.allowed_s(limit_s), **self._carried,
            )  # fmt: skip
            return found, None

        return self._pace.solved(work, limit_s, by=given.site.solver)[0]

    def _planned(self, planning: Planning, pins: Pins) -> tuple[Dispatch, Secured]:
        with self._pace.stage("dispatch"):
            free = planning.free(_stay(pins))
        with self._pace.stage("constrain"):
            given = self._given
            secured = constrain(
                planning.valued or given.site, given.snapshot, given.forecast, free,
                self._network, planning.solve, given.policy.mode, pins,
                reasons=given.policy.reasons,
            )  # fmt: skip
        return free, replace(secured, notes=(*secured.notes, *planning.notes))

    def _alone(self, pins: Pins) -> tuple[Dispatch, Secured]:
        with self._pace.stage("dispatch"):
            free = self.solve((), _stay(pins))
        with self._pace.stage("constrain"):
            given = self._given
            secured = constrain(
                given.site, given.snapshot, given.forecast, free, self._network, self.solve,
                given.policy.mode, pins, reasons=given.policy.reasons,
            )  # fmt: skip
        if self._look.note:
            secured = replace(secured, notes=(*secured.notes, self._look.note))
        return free, secured

    def _fit_losses(self, secured: Secured) -> bool:
        """Take K of eq. (2) from a load flow; False where it was about that already."""
        given = self._given
        if not given.policy.fit_losses or isinstance(secured, Infeasible):
            return False
        load_kw = given.forecast.load_kw
        before = self._carried.get("loss_factor", given.site.loss_factor)
        fitted = fitted_loss_factor(secured.load_flow, secured.dispatch.setpoints, load_kw)
        self._carried["loss_factor"] = fitted
        return abs(fitted - before) * load_kw > LOSSES_KW


def _stay(pins: Pins) -> Mapping[str, Setpoint]:
    """Where DERs that cannot be moved most likely stay."""
    return {name: pin.expected for name, pin in pins.items()}
