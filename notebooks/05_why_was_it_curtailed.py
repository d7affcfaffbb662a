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
# # Why was it curtailed?
#
# The owner of a 10 MW plant calls: "Yesterday at two you held me at seven. Why?" A good answer
# names the limit, tells what it cost, and what would have helped. GEEMS keeps with every decision
# all that it was made from, so the answer can be looked up, decided again to the last bit, and
# asked what it would have been otherwise.
#
# First a sunny day is run on devices in memory. Runs in less than a minute.

# %%
import json
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from ems.cycle import run_cycle
from ems.explain import limit_words
from ems.forecast import LadderForecaster
from ems.gateways.memory import MemoryField
from ems.plant.profile import GeneratedProfile
from ems.ports import Ports
from ems.settings import load_settings
from ems.store import Store
from feeders import Feeder, fingerprint

workspace = tempfile.TemporaryDirectory(prefix="geems-notebook-")
folder = Path(workspace.name)


def geems(*arguments):
    """What the command prints, run in the folder of the site."""
    command = [sys.executable, "-m", "ems.cli", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


print(geems("init"))
settings = load_settings(folder / "site.toml", {})
site, policy, tariff = settings.to_site(), settings.to_policy(), settings.to_tariff()

# %% [markdown]
# ## A day, decided and recorded
#
# The sun is that of the simulated plant. A month of it is told to the database first, so that the
# forecast has something to learn from. Then every quarter of an hour from nine to five is decided:
# measure, forecast, dispatch, load flow, constrain, explain, command, record.

# %%
BEGIN = datetime(2019, 7, 15, 16, 0, tzinfo=UTC)  # 9:00 in California
INTERVALS = 33
sky = GeneratedProfile(site, seed=1, start_day=BEGIN.date())
(pv,) = site.pvs
store = Store.open(settings.store_path())
past = pd.date_range(BEGIN - timedelta(days=30), BEGIN, freq="15min", inclusive="left")
store.add_history(
    pv.name,
    sum(
        pd.Series(sky.pv_available_kw(pv, past + timedelta(minutes=m)), index=past)
        for m in (2, 7, 12)
    )
    / 3,
)

# %%
field = MemoryField(site, load_kw=0.0)
field.tells_available = True
forecaster = LadderForecaster(settings.forecast.method)
records, previous = [], None
with closing(Feeder.open(settings.feeder_source(), site.placements)) as feeder:
    ports = Ports(
        field=field,
        network=feeder,
        history=store,
        forecaster=forecaster,
        journal=store,
        feeder=fingerprint(settings.feeder_source()),
    )
    for k in range(INTERVALS):
        now = BEGIN + k * timedelta(minutes=15)
        at = pd.DatetimeIndex([now])
        field.load_kw = float(sky.load_kw(at)[0])
        field.available_kw[pv.name] = float(sky.pv_available_kw(pv, at)[0])
        # What the cap of the interval before let through, under the sun of now.
        cap_kw = field.cap_kw[pv.name]
        field.p_kw[pv.name] = min(
            field.available_kw[pv.name], pv.rated_kw if cap_kw is None else cap_kw
        )
        previous = run_cycle(site, policy, tariff.price(now), ports, now, previous)
        records.append(previous)
store.close()
print(f"{len(records)} decisions, {sum(r.status == 'verified' for r in records)} of them verified")

# %%
day = pd.DataFrame(
    {
        "expected": [r.forecast.pv[pv.name].expected_kw for r in records],
        "kept": [r.secured.dispatch.setpoints[pv.name].p_kw for r in records],
        "free_pu": [
            (r.secured.free_load_flow or r.secured.load_flow).highest()[1] for r in records
        ],
        "secure_pu": [r.secured.load_flow.highest()[1] for r in records],
        "cost": [r.ledger.compliance_usd_per_h for r in records],
    },
    index=pd.DatetimeIndex([r.start for r in records]).tz_convert(settings.site.timezone),
)
fig, panes = plt.subplots(3, 1, figsize=(11, 8), sharex=True, layout="constrained")
panes[0].plot(day.index, day["expected"] / 1000, label="expected sun")
panes[0].plot(day.index, day["kept"] / 1000, label="decided")
panes[0].set(title="The plant", ylabel="Power [MW]")
panes[0].legend()
panes[1].plot(day.index, day["free_pu"], label="least cost, without the network")
panes[1].plot(day.index, day["secure_pu"], label="as decided")
panes[1].axhline(site.limits.v_max_pu, color="black", linewidth=0.8, linestyle="--", label="limit")
panes[1].set(title="Highest voltage of the feeder", ylabel="Voltage [pu]")
panes[1].legend()
panes[2].step(day.index, day["cost"], where="post")
panes[2].set(title="What keeping the limits costs", ylabel="Cost [$/h]", xlabel="Local time")
panes[2].xaxis.set_major_formatter(plt.matplotlib.dates.DateFormatter("%H:%M", tz=day.index.tz))
plt.show()

# %% [markdown]
# ## One sentence, and the ledger behind it
#
# The dearest quarter of an hour of the day:

# %%
dearest = max(records, key=lambda r: r.ledger.compliance_usd_per_h)
ledger = dearest.ledger
print(dearest.start.isoformat(), "–", ledger.sentence)

# %% [markdown]
# The ledger has a line for every device that moved: what its move costs, and what it relieves at
# the prices of the limits. A device's own limits (rating, ramp, kvar) take up the rest.

# %%
lines = pd.DataFrame(
    {
        e.der: {
            "moved [kW]": e.moved_kw,
            "moved [kvar]": e.moved_kvar,
            "costs [$/h]": e.cost_usd_per_h,
            "relieves [$/h]": e.relief_usd_per_h,
            "own limits [$/h]": e.device_usd_per_h,
            "a kWh saves [$]": e.energy_usd_per_kwh,
            "and costs limits [$]": e.limits_usd_per_kwh,
        }
        for e in ledger.entries
    }
).T
print(lines.round(3).to_string())
for limit in ledger.limits:
    print(f"{limit_words(limit)}: relieved {limit.relief_usd_per_h:.0f} $/h")

# %%
fig, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
lines[["costs [$/h]", "relieves [$/h]", "own limits [$/h]"]].plot.barh(ax=axes)
axes.set(title="Who paid, and what for", xlabel="[$/h]")
plt.show()

# %% [markdown]
# Curtailing the plant does nearly all of the work. Generator and battery absorb what reactive power
# they have, nearly for nothing: each kvar of it lets through some more sun.
#
# ## Decided again
#
# The record is taken from the database, and the decision is made once more by the service's own
# code. Every number must be the same, to the last bit. Nothing is written to a device.

# %%
from ems.replay import parsed, replay

with closing(Store.open(settings.store_path())) as store:
    record = store.at(dearest.start)
    before = store.before(record)
once_more = replay(record, before, settings)
print("identical to the last bit:", once_more.identical)

# %% [markdown]
# ## What if?
#
# Any key of the site file may be set otherwise, and the decision is made anew: another limit, an
# inverter with reactive power, another price, less load.


# %%
def otherwise(*changes):
    """The same quarter of an hour, with something changed."""
    made = replay(record, before, settings, *parsed(changes)).again
    return {
        "status": made.status,
        "PV [kW]": made.secured.dispatch.setpoints[pv.name].p_kw,
        "highest [pu]": made.secured.load_flow.highest()[1],
        "limits cost [$/h]": made.ledger.compliance_usd_per_h,
    }


asked = {
    "as it was": otherwise(),
    "limit 1.08 pu": otherwise("limits.v_max_pu=1.08"),
    "500 kvar of PV": otherwise("pv.pv.q_max_kvar=500"),
    "load 2 MW higher": otherwise(f"load_kw={record.snapshot.load.p_kw + 2000:.0f}"),
    "no band around the load": otherwise("limits.load_band_pct=0"),
    "as published": otherwise("dispatch.mode=paper"),
}
print(pd.DataFrame(asked).T.to_string(float_format="{:.4f}".format))

# %%
limits_pu = [1.06, 1.07, 1.08, 1.09, 1.10, 1.11, 1.12]
kvar = [0, 100, 250, 500, 750, 1000]
by_limit = pd.Series(
    # What changes nothing is refused: the limit as it was is the answer as it was.
    [
        otherwise(*([f"limits.v_max_pu={v}"] if v != site.limits.v_max_pu else []))
        for v in limits_pu
    ],
    index=limits_pu,
).str["limits cost [$/h]"]
by_kvar = pd.Series(
    [otherwise(*([f"pv.pv.q_max_kvar={q}"] if q else [])) for q in kvar], index=kvar
).str["limits cost [$/h]"]
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), sharey=True, layout="constrained")
left.plot(by_limit.index, by_limit, "o-")
left.set(title="Another limit", xlabel="Highest voltage allowed [pu]", ylabel="Limits cost [$/h]")
right.plot(by_kvar.index, by_kvar, "o-")
right.set(title="Another inverter", xlabel="Reactive power of the PV plant [kvar]")
plt.show()

# %% [markdown]
# The same from a shell, on the folder of the site. `--what-if` moves the dearest limit, and asks for
# the reactive power of a category B inverter; both are proved by load flows.

# %%
time = f"{record.start:%Y-%m-%dT%H:%M}"
told = json.loads(geems("explain", time, "--what-if", "--json"))
for one in told["counterfactuals"]:
    proof = "proved by load flows" if one["verified"] else "linear"
    print(f"With {one['what']}: {one['saves_usd_per_h']:.0f} $/h saved ({proof})")

# %% [markdown]
# ## What this does not show
#
# - A price is a slope. It is good for the next hundred kilowatts, and a share of the bill for its
#   first digit (`docs/explain.md`).
# - *What if* changes one quarter of an hour. A day with another limit would have left another
#   battery, and other generators running.
# - The feeder here is the model itself. What a decision did to a feeder that differs from its model
#   is what a backtest shows (the notebooks of the week and of the year).
# - "To the last bit" holds on machines of one kind and with the same libraries; where these differ,
#   the replay says so.
