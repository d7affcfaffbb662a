# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Fairness: who gives up the sun
#
# A sunny noon on the IEEE 123 feeder, with the service transformers and the customers behind them.
# Six in ten customers have PV. Loads are at 40 %, and without control hundreds of nodes are above
# 1.05 pu. Something has to be given up. The question is by whom.
#
# *Least cost* takes it from whoever moves the worst voltage most: the far end of the feeder.
# *Equal share* lets all plants of a group keep the same fraction. *Proportional* weighs the
# logarithm of what each keeps: the last kWh of a plant is dear. Every answer below was verified by
# a three-phase load flow, of the whole feeder.
#
# Runs in less than a minute. Inverters use active power only, so that there is something to share.

# %%
from datetime import UTC, datetime

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ems.coordinate import Scenario, coordinate, feeder_case
from ems.dispatch.fairness import jain_index
from ems.domain import Limits

FEEDER = "ieee123_secondaries"
NOON = datetime(2026, 6, 21, 19, 0, tzinfo=UTC)
LIMITS = Limits(v_min_pu=0.95, v_max_pu=1.05, loading_max_pct=100.0, load_band_pct=0.0)

# %% [markdown]
# ## Four ways to share

# %%
POLICIES = {
    "least cost": {"fairness": "least_cost"},
    "equal, each transformer": {"fairness": "equal_share", "group": "transformer"},
    "proportional": {"fairness": "proportional"},
    "equal, whole feeder": {"fairness": "equal_share", "group": "feeder"},
}


def decided(**asked):
    """One moment of the feeder, coordinated."""
    scenario = Scenario(limits=LIMITS, reactive=asked.pop("reactive", False), **asked)
    case = feeder_case(FEEDER, scenario, NOON)
    try:
        return coordinate(case)
    finally:
        case.network.feeder.close()


found = {name: decided(**asked) for name, asked in POLICIES.items()}
for name, one in found.items():
    print(f"{name}: {type(one.secured).__name__.lower()}")

# %% [markdown]
# ## What it costs, and how even it is
#
# Jain's index over the customers' kept fractions is 1 where all keep alike, and near 0 where few
# keep everything. The plants of the utility are not counted in it.

# %%
customers = np.array([p.customer != "" for p in found["least cost"].case.plants])
cheapest = found["least cost"].secured.dispatch.cost_usd_per_h
table = pd.DataFrame(
    {
        name: {
            "PV kept [kW]": one.available_kw @ one.fractions,
            "price of fairness [$/h]": one.secured.dispatch.cost_usd_per_h - cheapest,
            "Jain's index [1]": jain_index(one.fractions[customers]),
            "customers that keep nothing": (one.fractions[customers] < 0.01).sum(),
            "customers that keep all": (one.fractions[customers] > 0.99).sum(),
            "nodes above 1.05 pu": (one.secured.load_flow.v_pu > 1.05).sum(),
        }
        for name, one in found.items()
    }
).T
print(table.to_string(float_format="{:.4g}".format))

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
for name, row in table.iterrows():
    left.plot(row["Jain's index [1]"], row["PV kept [kW]"], "o", markersize=10, label=name)
left.set(
    title="Evenness against energy",
    xlabel="Jain's index over the customers [1]",
    ylabel="PV kept [kW]",
)
left.legend()
for name, one in found.items():
    kept = np.sort(100 * one.fractions[customers])
    right.plot(100 * np.arange(1, len(kept) + 1) / len(kept), kept, label=name)
right.set(
    title="Who keeps what",
    xlabel="Customers, those who keep least first [%]",
    ylabel="Kept of what the sun offers [%]",
)
right.legend()
plt.show()

# %% [markdown]
# ## Distance decides, unless a policy says otherwise
#
# The same sun, the same roof, another street: at least cost the far end pays for all.

# %%
top = found["least cost"].case.topology
buses = {pv.name: pv.bus for pv in found["least cost"].case.site.pvs}
away_km = np.array(
    [
        top.distance_km.get(buses[p.der].partition(".")[0].lower(), np.nan)
        for p in found["least cost"].case.plants
    ]
)
fig, panes = plt.subplots(1, 4, figsize=(14, 3.6), sharey=True, layout="constrained")
for pane, (name, one) in zip(panes, found.items(), strict=True):
    pane.scatter(away_km[customers], 100 * one.fractions[customers], s=12, alpha=0.6)
    pane.set(title=name, xlabel="Distance from the substation [km]")
panes[0].set_ylabel("Kept of what the sun offers [%]")
plt.show()

# %% [markdown]
# Equal shares of the whole feeder are strict. The plant that moves the worst node most decides for
# everybody, and the others give up energy that helps nobody. Equal shares behind each transformer
# are no equal shares between transformers: whole ones may still give up everything.

# %%
nearest, farthest = np.nanquantile(away_km[customers], [0.25, 0.75])
for name, one in found.items():
    kept = one.fractions[customers]
    near, far = kept[away_km[customers] <= nearest], kept[away_km[customers] >= farthest]
    print(f"{name}: the near quarter keeps {near.mean():.0%}, the far quarter {far.mean():.0%}")

# %% [markdown]
# ## The third way: reactive power
#
# Before arguing about shares, ask whether anything has to be shared. Inverters of category B (IEEE
# 1547-2018) can absorb reactive power up to 44 % of their rating.

# %%
with_q = decided(fairness="least_cost", reactive=True)
kept_kw, there_kw = with_q.available_kw @ with_q.fractions, with_q.available_kw.sum()
print(
    f"With reactive power {kept_kw:.0f} of {there_kw:.0f} kW are kept, and the highest voltage is "
    f"{with_q.secured.load_flow.highest()[1]:.4f} pu."
)

# %% [markdown]
# ## What this does not show
#
# - One moment, with sun and load known exactly. A policy that is even at noon may be uneven over a
#   year; a fair year may be made of unfair noons.
# - Who has PV, and how much, is a seeded draw. Another draw moves the figures.
# - Jain's index is one opinion of fairness. It knows nothing of incomes, contracts, or of who was
#   there first.
# - Money is what the energy is worth at the feeder head, at one price. Compensation of customers is
#   not modelled, nor what reactive power costs in losses and in the life of inverters.
#
# The same from the command line: `geems coordinate --no-reactive --fairness proportional --out DIR`.
# A site file takes the policies as well: `dispatch.fairness`, and `group` of a PV plant.
