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
# # Quickstart: the published case, and what it gave away
#
# Everything here runs offline on the feeder that ships with GEEMS, `segment13`. It is one
# feeder that reproduces the published numbers; the publication prints no line data.
#
# Runs in a few seconds.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from ems.reproduce import reproduce

result = reproduce()
columns = ["paper", "unconstrained", "paper_mode", "geems_mode", "geems_mode_pv_q"]
table = pd.DataFrame({name: result[name] for name in columns})
print(table.to_string())

# %% [markdown]
# Without network limits the dispatch drives 21 nodes above 1.1 pu. The published one-shot method
# curtails the PV plant to 6515 kW; re-linearising until a load flow verifies, with the reactive
# power of generator and battery, keeps 7652 kW, at the limit. Why:

# %%
print(result["why"])

# %% [markdown]
# ## One decision by hand
#
# A decision is a function of values: a site, what is measured, what is expected, a price.

# %%
from functools import partial

from ems.constrain import constrain
from ems.dispatch import dispatch
from ems.domain import DerReading, Forecast, LoadReading, PvForecast, Snapshot
from ems.explain import explain
from ems.reproduce import MINUTE_840, reference_site
from feeders import Feeder
from feeders.topology import topology

site = reference_site()
now = MINUTE_840
snapshot = Snapshot(
    time=now,
    load=LoadReading(time=now, p_kw=12_000.0),
    ders={
        "pv": DerReading(der="pv", time=now, p_kw=6000.0, q_kvar=0.0),
        "dg": DerReading(der="dg", time=now, p_kw=2000.0, q_kvar=0.0),
        "bes": DerReading(der="bes", time=now, p_kw=0.0, q_kvar=0.0, soc_pct=50.0),
    },
)
sky = PvForecast(expected_kw=8000.0, lower_kw=0.0, upper_kw=9500.0, method="given")
forecast = Forecast(start=now, pv={"pv": sky}, load_kw=12_000.0)
feeder = Feeder.open("segment13", site.placements)

resolve = partial(dispatch, site, snapshot, forecast, 0.30)
free = resolve((), {})
secure = constrain(site, snapshot, forecast, free, feeder, resolve)
print(type(secure).__name__, secure.load_flow.highest())
setpoints = secure.dispatch.setpoints.values()
print(
    pd.DataFrame(
        [(s.der, s.p_kw, s.q_kvar, s.cap_kw) for s in setpoints],
        columns=["der", "p_kw", "q_kvar", "cap_kw"],
    ).to_string(index=False)
)
print(explain(site, free, secure).sentence)

# %% [markdown]
# What the decision changed, along the feeder: without the network's limits the far end is too high;
# as decided it comes close to the limit, and keeps it.

# %%
top = topology(feeder)
feeder.close()
km = [top.distance_km[node.rpartition(".")[0].lower()] for node in secure.load_flow.nodes]
fig, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
axes.plot(km, secure.free_load_flow.v_pu, "o", label="least cost, without the network")
axes.plot(km, secure.load_flow.v_pu, "o", label="as decided")
axes.axhline(site.limits.v_max_pu, color="black", linewidth=0.8, linestyle="--", label="limit")
axes.set(
    title="Voltage along the feeder, all phases",
    xlabel="Distance from the substation [km]",
    ylabel="Voltage [pu]",
)
axes.legend()
plt.show()

# %% [markdown]
# ## What this does not show
#
# - The publication's own feeder. This is one that gives the same numbers; others would too, and
#   would differ elsewhere. `result["assumptions"]` lists what else was assumed.
# - More than one moment, with sun and load known. What forecasts are worth, and what a year of such
#   moments comes to, is for the notebooks that follow.
# - Anything of hardware: no device was written.
