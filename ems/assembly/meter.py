"""What the site drew from the grid, from the minute means that the service keeps."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from ems.clock import interval_start
from ems.domain import PLAUSIBLE, Site
from ems.store import LOAD, Store

if TYPE_CHECKING:
    import pandas as pd


COVERED = 2 / 3
"""Of the polls of an interval that must have been answered for it to count: minutes of a start, or
between two failures of a link, are no mean that anybody is charged for [1]."""
MINUTE_S = 60.0


class NetMeter:
    """Load and losses less what the DERs made, all as measured; implements `Meter`.

    No site file names a meter at the point of common coupling: this stands for it. Losses are a
    share of the load, as in eq. (2).
    """

    def __init__(self, site: Site, store: Store, poll_s: float) -> None:
        """Nothing is read yet.

        Args:
            site: its DERs.
            store: with their minute means.
            poll_s: time between polls; of minutes without one no mean is kept [s].
        """
        self._names, self._store = site.names, store
        self._covered = COVERED * min(1.0, MINUTE_S / poll_s)
        self._most_kw = PLAUSIBLE * (site.load_max_kw + sum(d.rated_kw for d in site.ders))

    def imported_kw(
        self, since: datetime, until: datetime, loss_factor: float
    ) -> Mapping[datetime, float]:
        """Intervals of which the load and every DER were measured for the most part.

        Raises:
            StoreFault: the database cannot be read.
        """
        net_kw = (1.0 + loss_factor) * self._mean_kw(LOAD, since, until)
        for name in self._names:
            net_kw = net_kw - self._mean_kw(name, since, until).to_numpy()
        # Minutes kept before readings were looked at may hold anything.
        found = net_kw[net_kw.abs() <= self._most_kw]  # NaN is not below it
        return {
            interval_start(at.to_pydatetime()): float(kw)
            for at, kw in zip(found.index, found.to_numpy(), strict=True)
        }

    def _mean_kw(self, device: str, since: datetime, until: datetime) -> "pd.Series[float]":
        return self._store.mean_kw(device, since, until, covered=self._covered)
