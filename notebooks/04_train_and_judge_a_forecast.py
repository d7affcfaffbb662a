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
# # Train and judge a forecast
#
# Each decision needs the power a PV plant could give in the next 15 minutes. GEEMS ships a small
# LSTM for that, trained on four measured places. This notebook judges it beside five simpler
# methods, trains a toy of its own, and shows how to tell whether a new model is better.
#
# The sun is made up: pvlib's clear sky under seeded clouds, so that everything runs offline. What
# is learnt from such clouds holds for such clouds. With a file of your own plant the same calls
# tell something about your plant.
#
# Training needs TensorFlow (`pip install "geems[train]"`). Without it the notebook says so, and
# judges the model that ships. Runs in some minutes; most of it is the training.

# %%
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ems.backtest.period import Period
from ems.backtest.profiles import generated
from ems.domain import Limits, Pv, Site

SHORT = os.environ.get("NOTEBOOK_SHORT") == "1"  # set by the test suite
TRAIN_DAYS = 31 if SHORT else 180
EPOCHS = 1 if SHORT else 3
JUDGED_DAYS, CALIBRATION_DAYS = (50, 20) if SHORT else (240, 60)
LAST = date(2025, 8, 31)
workspace = tempfile.TemporaryDirectory(prefix="geems-notebook-")
folder = Path(workspace.name)

# %% [markdown]
# ## A sun to learn from
#
# Two plants to train on, and a third one, elsewhere, that training never sees. A file is what any
# data logger gives: a time in UTC that labels the start of the interval, and the power.

# %%
PLACES = {  # latitude, longitude, tilt, azimuth [°], seed of the clouds
    "coast": (37.8, -122.4, 20.0, 180.0, 1),
    "valley": (45.1, 7.7, 35.0, 160.0, 2),
    "unseen": (35.0, -101.8, 30.0, 200.0, 3),
}
RATED_KW = 100.0


def write_series(name, days, minutes=5):
    """A made-up plant as a CSV file."""
    latitude, longitude, tilt, azimuth, seed = PLACES[name]
    site = Site(
        name=name,
        latitude_deg=latitude,
        longitude_deg=longitude,
        limits=Limits(v_min_pu=0.95, v_max_pu=1.05),
        load_max_kw=1.0,
        load_min_kw=1.0,
        ders=(Pv(name="pv", bus="any", rated_kw=RATED_KW, tilt_deg=tilt, azimuth_deg=azimuth),),
    )
    # What a backtest makes begins a month before its period.
    first = LAST - timedelta(days=max(1, days - 30) - 1)
    made = generated(
        site, Period(first=first, last=LAST, zone="UTC"), seed=seed, steps=15 // minutes
    )
    power_kw = RATED_KW * made.pv_share["pv"].ravel()
    times = pd.date_range(made.first, periods=len(power_kw), freq=f"{minutes}min", name="time_utc")
    series = pd.Series(power_kw.round(3), index=times, name="p_kw").iloc[-days * 1440 // minutes :]
    path = folder / f"{name}.csv"
    series.to_csv(path, date_format="%Y-%m-%dT%H:%M:%SZ")
    return path, series


unseen_file, unseen = write_series("unseen", JUDGED_DAYS)
print(unseen_file.read_text(encoding="utf-8")[:80], "…", sep="")

# %%
week = unseen.iloc[-7 * 288 :]
fig, axes = plt.subplots(figsize=(12, 3), layout="constrained")
axes.plot(week.index, week, linewidth=0.8)
axes.set(title="A made-up week of the unseen plant", xlabel="Time [UTC]", ylabel="Power [kW]")
plt.show()

# %% [markdown]
# ## Judge what ships
#
# The record is walked through once. At every interval each method knows only what was measured
# before it. *Skill* is how much smaller the error is than that of smart persistence, which keeps
# the last cloudiness. Errors are in percent of the rating, on daylight of the last third.

# %%
from forecasting.judging.evaluate import evaluate
from forecasting.judging.judged import Asked, judged
from forecasting.pooled import PooledLstm
from forecasting.runtime import PaperLstm
from models import champion

latitude, longitude, tilt, azimuth, _ = PLACES["unseen"]
case = judged(
    Asked(
        path=unseen_file,
        latitude_deg=latitude,
        longitude_deg=longitude,
        capacity_kw=RATED_KW,
        tilt_deg=tilt,
        azimuth_deg=azimuth,
        calibration_days=CALIBRATION_DAYS,
    )
)


def judge(model):
    """Scores of a model in the ladder, and of all that it must beat."""
    return evaluate(
        case,
        model=PooledLstm(model),
        paper=PaperLstm(champion("paper_lstm").artefact),
        calibration_days=CALIBRATION_DAYS,
    )


shipped = judge(champion("pv_pooled").artefact)


def table(found):
    return pd.DataFrame(found.to_json()["models"]).T[
        ["nrmse_pct", "nmae_pct", "skill_pct", "pinball_pct", "coverage80_pct"]
    ]


print(table(shipped).round(2).to_string())

# %% [markdown]
# The published LSTM (`paper_lstm`) sees five days and no last hour. It loses to persistence, here
# as on measured data. That is why another one ships.
#
# A mean is half a forecast. The other half is a band that holds what it promises.

# %%
from forecasting.record import LEVELS

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
errors = table(shipped)["nrmse_pct"].sort_values()
left.barh(errors.index, errors)
left.set(title="Error of the next 15 minutes", xlabel="nRMSE [% of the rating]")
right.plot([0, 100], [0, 100], color="grey", linewidth=0.8)
for name in ("geems", "smart_persistence"):
    right.plot(100 * np.array(LEVELS), 100 * np.array(shipped.reliability[name]), "o-", label=name)
right.set(
    title="Reliability: on the line is honest",
    xlabel="Quantile that was forecast [%]",
    ylabel="Truths at or below it [%]",
)
right.legend()
plt.show()

# %%
known = np.isfinite(shipped.truth_kw)
stop = int(np.flatnonzero(known)[-1])
shown = slice(stop - 3 * 96, stop)
forecast = shipped.forecasts["geems"]
fig, axes = plt.subplots(figsize=(12, 3.4), layout="constrained")
times = forecast.starts[shown]
low, high = LEVELS.index(0.1), LEVELS.index(0.9)
axes.fill_between(
    times,
    forecast.quantiles_kw[shown, low],
    forecast.quantiles_kw[shown, high],
    alpha=0.3,
    label="80 % band",
)
axes.plot(times, forecast.mean_kw[shown], label="expected")
axes.plot(times, shipped.truth_kw[shown], color="black", linewidth=0.8, label="measured")
axes.set(
    title="Three days, each interval as it was forecast", xlabel="Time [UTC]", ylabel="Power [kW]"
)
axes.legend()
plt.show()

# %% [markdown]
# ## Train a toy
#
# A sources file names the series. `geems forecast train` does the rest, in a child process: it
# cuts by time (55 % train, then up to 67 % stop the training, the last third is only scored), adds
# gaps and made-up caps, exports to LiteRT, and proves that the exported model answers as the
# trained one did. The same seed gives the same bytes.
#
# This one sees two plants for half a year and for a few epochs. It is a toy.

# %%
HAVE_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None
names = ("coast",) if SHORT else ("coast", "valley")
toy = None
if HAVE_TENSORFLOW:
    tables = []
    for name in names:
        write_series(name, TRAIN_DAYS, minutes=15 if SHORT else 5)
        latitude, longitude, tilt, azimuth, _ = PLACES[name]
        tables.append(
            f'[[source]]\nname = "{name}"\nfile = "{name}.csv"\nquantity = "power_kw"\n'
            f"latitude_deg = {latitude}\nlongitude_deg = {longitude}\ntilt_deg = {tilt}\n"
            f'azimuth_deg = {azimuth}\nrated_kw = {RATED_KW}\nlicence = "made up"\n'
        )
    sources = folder / "sources.toml"
    sources.write_text("\n".join(tables), encoding="utf-8")
    command = ["forecast", "train", str(sources), "--out", str(folder / "toy"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "ems.cli", *command, "--epochs", str(EPOCHS)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    report = json.loads(done.stdout)
    print(
        f"trained in {report['duration_s']:.0f} s; LiteRT and Keras differ by "
        f"{report['parity_error']:.1e} of the rating at most"
    )
else:
    print(
        'TensorFlow is not installed, so nothing is trained: pip install "geems[train]".\n'
        "The rest judges the model that ships."
    )

# %% [markdown]
# ## Is it better?
#
# The only honest question is how it does at a plant it never saw, on days it never saw, beside what
# is there already.

# %%
from forecasting.judging.contenders import method_of
from models import artefact

candidates = {"shipped": shipped}
if HAVE_TENSORFLOW:
    candidates["toy"] = judge(artefact("toy", folder))
side_by_side = pd.DataFrame(
    {name: table(found).loc["geems"] for name, found in candidates.items()}
    | {"smart persistence": table(shipped).loc["smart_persistence"]}
).T
print(side_by_side.round(2).to_string())

# %%
fig, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.barh(side_by_side.index, side_by_side["skill_pct"])
axes.set(title="The unseen plant", xlabel="Skill over smart persistence [%]")
plt.show()

# %% [markdown]
# A difference of a few tenths may be luck of the days. `geems models promote` judges a new model
# against the one in use on a file of yours, day by day, and takes it only where the difference is
# more than that (`docs/models.md`).
#
# ## What this does not show
#
# - Made-up clouds are simpler than real ones. No fronts, no fog, no snow, no dirt; the whole year
#   has the same statistics. Skill on real plants the model never saw is about 5 % with 15-minute
#   data and 10 % with 5-minute polls (`docs/forecasting.md`).
# - The toy was trained on the same kind of clouds that it is judged on. That flatters it. Do not put
#   it into service.
# - A forecast is worth what it changes in decisions, not what it scores. The notebook of the year
#   tells that in dollars.
