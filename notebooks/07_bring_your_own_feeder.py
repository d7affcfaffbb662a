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
# # Bring your own feeder
#
# All that GEEMS asks of a feeder is an OpenDSS file, and a site file that says what stands where.
# This notebook writes both: a village at the end of a 20 kV line, with a solar field, a battery, and
# a slip that the checks find. Then it decides one noon, and runs a day of June.
#
# Put your own file in the place of `VILLAGE` and go through it again. Runs in less than a minute.

# %%
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import date
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

workspace = tempfile.TemporaryDirectory(prefix="geems-notebook-")
folder = Path(workspace.name)


def geems(*arguments):
    """Run the command in the folder of the site; what it prints, faults included."""
    command = [sys.executable, "-m", "ems.cli", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


# %% [markdown]
# ## The feeder
#
# It needs loads with nominal kW, whose shares divide the measured total; voltage bases at its end;
# ratings where loading shall be watched; and no generators, which belong into the site file.
# `vminpu=0.5 vmaxpu=1.5` keeps loads what they are above 1.05 pu: the engine's default turns them
# into impedances there, and hides the very rise that is looked for.

# %%
VILLAGE = """
Clear
New Circuit.village bus1=substation basekV=20 pu=1.03 phases=3 MVAsc3=200 MVAsc1=180
New LineCode.al95 nphases=3 units=km r1=0.31 x1=0.35 r0=0.46 x0=1.4 c1=9.5 c0=4.5 normamps=250
New Line.trunk1 bus1=substation bus2=mill   linecode=al95 length=5 units=km
New Line.trunk2 bus1=mill       bus2=church linecode=al95 length=4 units=km
New Line.trunk3 bus1=church     bus2=farm   linecode=al95 length=4 units=km
New Line.branch bus1=mill       bus2=school linecode=al95 length=2 units=km
New Load.mill   bus1=mill   phases=3 conn=wye kV=20 kW=900 pf=0.95 model=1 vminpu=0.5 vmaxpu=1.5
New Load.church bus1=church phases=3 conn=wye kV=20 kW=700 pf=0.95 model=1 vminpu=0.5 vmaxpu=1.5
New Load.school bus1=school phases=3 conn=wye kV=20 kW=500 pf=0.95 model=1 vminpu=0.5 vmaxpu=1.5
New Load.farm   bus1=farm   phases=3 conn=wye kV=20 kW=400 pf=0.95 model=1 vminpu=0.5 vmaxpu=1.5
Set VoltageBases=[20]
CalcVoltageBases
"""
(folder / "village.dss").write_text(VILLAGE, encoding="utf-8")

# %% [markdown]
# ## The site, with a slip or two
#
# Units stand in the names of keys. `geems init` writes a longer file with every usual key explained.

# %%
SITE = """
[site]
name = "village"
latitude_deg = 48.1
longitude_deg = 11.6
timezone = "Europe/Berlin"

[feeder]
source = "village.dss"

[limits]
v_min_pu = 0.95
v_max_pu = 1.05

[load]
max_kw = 2500
min_kw = 600
device = { host = "127.0.0.1", port = 5020 }

[tariff]
flat_usd_per_kwh = 0.25

[grid]
export_price_usd_per_kwh = 0.08

[[pv]]
name = "field"
bus = "farn"
rated_mw = 6
q_max_kvar = 1000
reversion_kw = 1000
device = { host = "127.0.0.1", port = 5021 }

[[bes]]
name = "battery"
bus = "church"
rated_kw = 500
capacity_kwh = 2000
q_max_kvar = 200
weight_usd_per_kwh = 0.15
device = { host = "127.0.0.1", port = 5022 }
"""
path = folder / "site.toml"
path.write_text(SITE, encoding="utf-8")
print(geems("validate"))

# %% [markdown]
# All faults at once, each with its place and its mend. Mended:

# %%
path.write_text(
    SITE.replace('bus = "farn"', 'bus = "farm"').replace("rated_mw = 6", "rated_kw = 6000"),
    encoding="utf-8",
)
print(geems("validate"))

# %% [markdown]
# `validate` also proved what the devices fall back to by themselves when GEEMS is silent: together,
# at the lowest load under a clear sky. A `reversion_kw` of 6000 would have been refused.

# %%
path.write_text(
    path.read_text(encoding="utf-8").replace("reversion_kw = 1000", "reversion_kw = 6000")
)
print(geems("validate"))
path.write_text(
    path.read_text(encoding="utf-8").replace("reversion_kw = 6000", "reversion_kw = 1000")
)

# %% [markdown]
# ## A Sunday noon
#
# A decision is a function of values: the site, what is measured, what is expected, a price. Load is
# low, the sky is clear.

# %%
from datetime import UTC, datetime
from functools import partial

from ems.constrain import constrain
from ems.dispatch import dispatch
from ems.domain import DerReading, Forecast, LoadReading, PvForecast, Snapshot
from ems.explain import explain
from ems.settings import load_settings
from feeders import Feeder
from feeders.topology import topology

settings = load_settings(path, {})
site = settings.to_site()
now = datetime(2025, 6, 22, 11, 0, tzinfo=UTC)
snapshot = Snapshot(
    time=now,
    load=LoadReading(time=now, p_kw=900.0),
    ders={
        "field": DerReading(der="field", time=now, p_kw=3000.0, q_kvar=0.0),
        "battery": DerReading(der="battery", time=now, p_kw=0.0, q_kvar=0.0, soc_pct=50.0),
    },
)
sun = PvForecast(expected_kw=5500.0, lower_kw=0.0, upper_kw=6000.0, method="given")
forecast = Forecast(start=now, pv={"field": sun}, load_kw=900.0)
resolve = partial(dispatch, site, snapshot, forecast, 0.25)
with closing(Feeder.open(settings.feeder_source(), site.placements)) as feeder:
    top = topology(feeder)
    free = resolve((), {})
    secure = constrain(site, snapshot, forecast, free, feeder, resolve)
print(type(secure).__name__.lower(), "–", explain(site, free, secure).sentence)

# %%
fig, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
for flow, label in ((secure.free_load_flow, "least cost"), (secure.load_flow, "as decided")):
    if flow is None:
        continue  # nothing had to be changed
    buses = [node.rpartition(".")[0].lower() for node in flow.nodes]
    profile = pd.DataFrame(
        {"km": [top.distance_km[b] for b in buses], "v": flow.v_pu, "bus": buses}
    )
    profile = profile.groupby("bus").mean().sort_values("km")
    axes.plot(profile["km"], profile["v"], "o", label=label)
for bus, (km, v) in profile.iterrows():
    axes.annotate(bus, (km, v), textcoords="offset points", xytext=(4, -12))
axes.axhline(site.limits.v_max_pu, color="black", linewidth=0.8, linestyle="--")
axes.set(
    title="Voltage along the line",
    xlabel="Distance from the substation [km]",
    ylabel="Voltage [pu]",
)
axes.legend()
plt.show()

# %% [markdown]
# ## A day of June
#
# A backtest in a few lines: the service's own cycle, on devices in memory, judged on another load
# flow. `geems backtest site.toml --from … --to …` does the same for years, on many processes.

# %%
from ems.backtest import DayState, foresee, simulate_day
from ems.backtest.profiles import generated
from ems.backtest.study import Study, StudySite

DAY = date(2025, 6, 22)
days = {}
for policy in ("none", "rules", "geems"):
    study = Study(sites=(StudySite.of(settings),), first=DAY, last=DAY, policies=(policy,))
    (chain,) = study.chains()
    seen = foresee(chain.case, generated(site, chain.period, seed=4), chain.period)
    done = simulate_day(chain.case, seen.day(chain.case, DAY), DayState.at_start(chain.case))
    days[policy] = done.rows.to_pandas().set_index("start").tz_convert("Europe/Berlin")

table = pd.DataFrame(
    {
        policy: {
            "cost [$]": day["cost_usd"].sum(),
            "sun used [MWh]": day["pv_kw"].sum() / 4000,
            "sun not used [%]": 100 * day["curtailed_kw"].sum() / day["pv_available_kw"].sum(),
            "highest voltage [pu]": day["v_max_pu"].max(),
            "intervals above the limit": (day["nodes_above"] > 0).sum(),
        }
        for policy, day in days.items()
    }
)
print(table.to_string(float_format="{:,.3f}".format))

# %%
fig, (upper, lower) = plt.subplots(2, 1, figsize=(10, 5.5), sharex=True, layout="constrained")
upper.plot(days["none"].index, days["none"]["pv_available_kw"] / 1000, color="grey", label="sun")
for policy, day in days.items():
    if policy != "none":
        upper.plot(day.index, day["pv_kw"] / 1000, label=policy)
    lower.plot(day.index, day["v_max_pu"], label=policy)
lower.axhline(site.limits.v_max_pu, color="black", linewidth=0.8, linestyle="--")
upper.set(title="The solar field", ylabel="Power [MW]")
lower.set(title="Highest voltage", ylabel="Voltage [pu]", xlabel="Local time")
lower.xaxis.set_major_formatter(plt.matplotlib.dates.DateFormatter("%H:%M", tz="Europe/Berlin"))
upper.legend()
lower.legend()
plt.show()

# %% [markdown]
# ## What this does not show
#
# - Whether your model is right. Every proof is as good as the feeder file; measured voltages correct
#   it within bounds, loadings are not corrected (`docs/feedback.md`).
# - Protection, fuses, and what happens in the seconds while taps move are not modelled.
# - The day is made up. Give `geems backtest` your own series with `--profiles`.
# - Real devices. `geems plant site.toml` stands in for them, one Modbus server each; `geems discover
#   HOST` writes the section of one that answers SunSpec.
