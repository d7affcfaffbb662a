"""Why the dispatch is what it is: a ledger that closes, and one plain sentence.

The mathematics of the ledger stand in `account`; what another limit or device would have saved
is solved again in `counterfactual`.
"""

from ems.domain import Bill, Counterfactual, Dispatch, Ledger, Secured, Site, Verified
from ems.explain.account import accounted
from ems.explain.counterfactual import Alternative, Resolve, alternatives, counterfactuals, proved
from ems.explain.places import Places
from ems.explain.sentence import limit_words, sentence
from ems.explain.unmoved import Still

__all__ = [
    "Alternative",
    "Still",
    "alternatives",
    "counterfactuals",
    "explain",
    "limit_words",
    "proved",
]


def explain(
    site: Site,
    free: Dispatch,
    secured: Secured,
    resolve: Resolve | None = None,
    still: Still | None = None,
) -> Ledger:
    """Compare the least-cost dispatch with the one that is safe.

    Args:
        site: what is installed.
        free: the dispatch without network rows.
        secured: the one that load flows proved, with the prices of its rows.
        resolve: solves again for the same interval; with it the ledger tells what the dearest
            limit's next hundredth would have saved. One linear solve.
        still: the DERs that were not commanded; None: all were.
    """
    places = Places.of(secured)
    held, least = Bill.of(site, secured.dispatch), Bill.of(site, free)
    account = accounted(site, free, secured.dispatch, places)
    asked: tuple[Counterfactual, ...] = ()
    if resolve is not None and isinstance(secured, Verified):
        found = alternatives(site, secured, account.limits)
        asked = counterfactuals(site, secured, found[:1], resolve)
    return Ledger(
        sentence=sentence(site, free, secured, account, still),
        compliance_usd_per_h=held.energy_usd_per_h - least.energy_usd_per_h,
        demand_usd=held.demand_usd,
        compliance_demand_usd=held.demand_usd - least.demand_usd,
        entries=account.entries,
        limits=account.limits,
        objective_usd_per_h=account.objective_usd_per_h,
        relief_usd_per_h=account.relief_usd_per_h,
        device_usd_per_h=account.device_usd_per_h,
        unattributed_usd_per_h=account.unattributed_usd_per_h,
        counterfactuals=asked,
    )
