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
# # A year, and what it is worth
#
# Would an energy management system pay on this feeder? One decision cannot tell. A year of them
# can: 35 040 quarters of an hour, each decided by the service's own code, each judged on another
# load flow, whose loads differ from what the EMS believes.
#
# Four ways to run the reference segment, with its 10 MW of PV, a generator and a battery:
#
# - `none`: nobody controls anything.
# - `rules`: a yardstick, what can be set up once and left alone. Two static caps, one for when the
#   generator runs, safe at the lowest load of the year, which nobody knows in advance; the battery
#   takes the surplus; the generator runs when the grid is dearer.
# - `paper`: the published one-shot method.
# - `geems`: linearised again until load flows verify.
#
# A year of all four takes ten minutes or so on two cores. Change `LAST` for less. Sun and load are
# made up from a seed; `--profiles FILE` takes measured ones.

# %%
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

SHORT = os.environ.get("NOTEBOOK_SHORT") == "1"  # set by the test suite
FIRST, LAST = ("2019-06-29", "2019-07-01") if SHORT else ("2019-01-01", "2019-12-31")
POLICIES = ["none", "rules", "paper", "geems"]
workspace = tempfile.TemporaryDirectory(prefix="geems-notebook-")
folder = Path(workspace.name)


def geems(*arguments):
    """What the command prints, run in a folder that goes away with the notebook."""
    command = [sys.executable, "-m", "ems.cli", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


print(geems("init"))

# %% [markdown]
# ## Run it
#
# `--end-soc start` lets every policy end with the battery as it began, so that none sells what it
# found in it. Interrupted, the same command goes on where it stopped.


# %%
def backtest(name, first, last, policies, *more):
    """The document of a backtest."""
    return json.loads(
        geems(
            *("backtest", "site.toml", "--from", first, "--to", last),
            *("--policies", ",".join(policies), "--end-soc", "start", "--out", name),
            *("--json", "--no-report", *more),
        )
    )


year = backtest("year", FIRST, LAST, POLICIES)
by_policy = {row["policy"]: row for row in year["policies"]}
print(f"{year['simulated']} days simulated in {year['seconds']:.0f} s")

# %% [markdown]
# ## What it came to

# %%
LINES = {
    "grid energy and fuel [$]": ("cost_usd", 1),
    "PV not used [%]": ("curtailed_pct", 1),
    "PV used [MWh]": ("pv_kwh", 1000),
    "import [MWh]": ("imported_kwh", 1000),
    "generator [MWh]": ("dg_kwh", 1000),
    "losses [MWh]": ("losses_kwh", 1000),
    "full cycles of the battery": ("cycles", 1),
    "intervals with a limit broken": ("violated", 1),
    "furthest beyond a limit [pu]": ("depth_pu", 1),
    "longest run beyond a limit [h]": ("longest_h", 1),
}
table = pd.DataFrame(
    {
        policy: {line: by_policy[policy][key] / over for line, (key, over) in LINES.items()}
        for policy in POLICIES
    }
)
print(table.to_string(float_format="{:,.3f}".format))

# %% [markdown]
# `none` is no offer: it breaks the limits, and somebody would have switched the plant off. Its cost
# only tells what a feeder without limits would be worth. The fair question is what `geems` costs
# less than `rules`, and than the published method.
#
# How good a yardstick is `rules`? Its caps are the largest that are safe whatever happens, and what
# happens is seldom the worst. A site with volt-var or volt-watt curves in its inverters does better,
# and one whose owner was told a cap for the lowest load of ten years does worse.

# %%
print(*year["fixed_caps"], sep="\n")
for other in ("rules", "paper"):
    saved = by_policy[other]["cost_usd"] - by_policy["geems"]["cost_usd"]
    more = (by_policy["geems"]["pv_kwh"] - by_policy[other]["pv_kwh"]) / 1000
    print(f"geems against {other}: {saved:,.0f} $ less, {more:,.1f} MWh more sun used")

# %%
rows = pd.read_parquet(folder / "year" / "rows", partitioning=None)
rows["local"] = rows["start"].dt.tz_convert("America/Los_Angeles")
every = "1D" if SHORT else "MS"
fig, (left, right) = plt.subplots(1, 2, figsize=(13, 4), layout="constrained")
used = rows.set_index("local").groupby("policy")[["cost_usd", "curtailed_kw"]].resample(every).sum()
for pane, column, title, unit, over in (
    (left, "cost_usd", "Grid energy and fuel", "Cost [1000 $]", 1000),
    (right, "curtailed_kw", "Sun not used", "Energy [MWh]", 4000),
):
    series = used[column].unstack("policy")[POLICIES] / over
    for policy in POLICIES:
        pane.plot(series.index, series[policy], "o-", markersize=4, label=policy)
    pane.set(title=f"{title}, by {'day' if SHORT else 'month'}", ylabel=unit, ylim=(0, None))
    pane.legend()
plt.show()

# %% [markdown]
# ## What the grid saw
#
# Every interval's highest voltage, highest first. Under `none` it lies above 1.10 pu for a good part
# of the year. `rules` is safe because it is never bold. The others use the room up to the limit and
# do not cross it, on a feeder whose loads they do not know exactly.

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(13, 4), layout="constrained")
for policy in POLICIES:
    mine = rows[rows["policy"] == policy]
    highest = mine["v_max_pu"].sort_values(ascending=False).to_numpy()
    left.plot([100 * k / len(highest) for k in range(len(highest))], highest, label=policy)
left.axhline(1.10, color="black", linewidth=0.8, linestyle="--")
left.set(
    title="Highest voltage", xlabel="Share of the time [%]", ylabel="Voltage [pu]", xlim=(0, 40)
)
left.legend()
hours = rows.assign(hour=rows["local"].dt.hour).groupby(["policy", "hour"])["curtailed_kw"].mean()
for policy in POLICIES:
    right.step(range(24), hours[policy].reindex(range(24), fill_value=0), where="mid", label=policy)
right.set(title="When sun is not used", xlabel="Hour of the day, local", ylabel="Mean power [kW]")
right.legend()
plt.show()

# %% [markdown]
# ## What better knowledge would be worth
#
# A week, with two more policies. `geems_lookahead` plans a day ahead; `oracle` knows sun and load of
# the week exactly. No method can do better than the oracle, so what is between is all that better
# forecasts could ever bring.

# %%
asked = ["rules", "geems", "oracle"] if SHORT else ["rules", "geems", "geems_lookahead", "oracle"]
ahead = backtest("week", "2019-07-01", "2019-07-01" if SHORT else "2019-07-07", asked)
week = {row["policy"]: row for row in ahead["policies"]}
for policy, row in sorted(week.items(), key=lambda item: item[1]["cost_usd"]):
    print(
        f"{policy:16s} {row['cost_usd']:10,.0f} $, {row['regret_usd']:8,.0f} $ more than the oracle"
    )

# %%
fig, axes = plt.subplots(figsize=(8, 3), layout="constrained")
names = sorted(week, key=lambda name: -week[name]["regret_usd"])
axes.barh(names, [week[name]["regret_usd"] for name in names])
axes.set(title="Cost above perfect knowledge", xlabel="[$]")
plt.show()

# %% [markdown]
# ## What this does not show
#
# - The year is made up. Its clouds have the same statistics in January as in July, and no summer
#   resembles the last. Run it with your own profiles before you spend money.
# - The feeder is the reference segment, with a PV plant too large for it. A feeder with room to
#   spare has nothing to gain from any of this.
# - The tariff is an energy charge of 2019 in summer and one flat price in winter. Exported energy
#   earns what imported energy costs. What the system itself costs to buy and run is not in it, nor
#   the wear of the battery.
# - The truth differs from the model by noise in the loads only. `--parameter-error 0.1` makes the
#   lines differ too.
# - `violated` counts what a load flow every five minutes shows. What happens in the seconds between
#   is not simulated here.
