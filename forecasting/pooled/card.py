"""The card of a pooled artefact: what a person should know before trusting it."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

_HEAD = """# {id}

Forecast of the power a PV plant could make in the coming 15 minutes: its mean and the quantiles
{levels} %. One LSTM for all plants ({parameters} parameters, the mean of {members} networks of
different seeds), LiteRT, SHA-256 `{sha256}`.

It answers by how much fading persistence is wrong. It sees the last three hours in steps of 15
minutes (clear-sky index, thirds of each interval where they were measured, caps and what was made
under them), the clear sky of the coming interval, the sun, and the last two days at this time. It
learns in power, not in the index, and where a synthetic cap binds an error weighs six times.

## How good it is

Skill is how much smaller the root mean square error is than that of smart persistence, on the
daylight (sun above 5°) of the last third of each series, which training never saw. nRMSE and
pinball loss in percent of the rating; coverage of the 80 % band before calibration on line.

**Models that have never seen the site** (trained without it): the figures to expect elsewhere.

{left_out}

**The model that ships**, trained on the first two thirds of all:

{shipped}

## Under a cap

A cap of 45 % of the rating for five hours on 40 % of the days; the record is censored while it is
in force, floor and cap are known, with 5-minute polls also what was made in each part. Over the
intervals in which more than the cap was available, and twelve drawings of the days; with the
ratio stands its standard deviation among drawings. Bias in percent of the rating, and of what was
available:

| source | resolution | intervals | bias | of available | nRMSE | uncapped record | ratio |
|---|---|---|---|---|---|---|---|
{caps}

## What it was trained on

| source | quantity | trained and stopped on | licence | origin |
|---|---|---|---|---|
{sources}

The first {trained:.0f} % of each series trained the weights, the next ones up to {stopped:.0f} %
stopped the training (seed {seed}, epochs {epochs}, {versions}).
The data are not part of the artefact. {seen}

## What it is not for

- Trained on {places}; other climates are untried but for the left-out figures.
- Telemetry of 1 minute is used as 5-minute means: no series of 1 minute was at hand.
- The quantiles are to be calibrated on line; they are not by themselves.
- Without a measurement in the last four hours it gives no answer.
"""

_SEEN = """Each series of irradiance was seen by {ghi_plants} plants:
the nominal one (tilt = latitude but at most 35°, facing the equator) and others of random
orientation, inverter and losses; each series of power with {power_plants} configurations; with
gaps and synthetic caps.
Chain: GHI to direct and diffuse (Erbs), plane of the array (Hay and Davies), power in proportion
to irradiance. Other columns of the files, such as modelled clear skies, were not used."""

_POWER_SEEN = """Each series was seen with {power_plants}
configurations of the plant, with gaps and synthetic caps. Other columns of the files were not
used."""

_TITLES = ("source", "resolution", "intervals", "skill", "nRMSE", "smart persistence", "pinball")

_TABLE = """| {titles} | 80 % band |
|---|---|---|---|---|---|---|---|
{rows}"""


def render_card(manifest: Mapping[str, Any]) -> str:
    """Markdown card of a manifest."""
    training = manifest["training"]
    has_irradiance = any(s["quantity"] == "ghi_wm2" for s in training["sources"])
    plants = {k: training[k] for k in ("ghi_plants", "power_plants")}
    return _HEAD.format(
        id=manifest["id"],
        levels=", ".join(c.removeprefix("q") for c in manifest["output"]["columns"][1:]),
        sha256=manifest["sha256"],
        left_out=_scores(manifest["left_out"]) if manifest["left_out"] else "Not trained.",
        shipped=_scores(manifest["metrics"]),
        caps="\n".join(_caps(manifest["curtailment"])),
        sources="\n".join(
            _source(s, manifest["training_window"][s["name"]]) for s in training["sources"]
        ),
        trained=100 * training["shares"][0],
        stopped=100 * training["shares"][1],
        epochs=", ".join(map(str, training["epochs_run"])),
        versions=", ".join(f"{k} {v}" for k, v in manifest["versions"].items()),
        places=_places([s["geometry"]["latitude_deg"] for s in training["sources"]]),
        seen=(_SEEN if has_irradiance else _POWER_SEEN).format(**plants),
        **{k: training[k] for k in ("parameters", "members", "seed")},
    )


def _places(latitudes_deg: Sequence[float]) -> str:
    sites = f"{len(latitudes_deg)} site{'s' * (len(latitudes_deg) > 1)}"
    south, north = f"{min(latitudes_deg):.1f}°", f"{max(latitudes_deg):.1f}°"
    where = f"at {south}" if south == north else f"between {south} and {north}"
    return f"{sites} {where} of latitude"


def _scores(metrics: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    rows: list[str] = []
    resolutions = {r for found in metrics.values() for r in found}
    for resolution in sorted(resolutions, key=lambda r: -int(r.removesuffix("min"))):
        asked = {site: found[resolution] for site, found in metrics.items() if resolution in found}
        rows += [_score(site, resolution, s) for site, s in asked.items()]
        mean = fmean(s["skill_pct"] for s in asked.values())
        rows.append(f"| **mean** | {resolution} | | **{mean:.1f} %** | | | | |")
    return _TABLE.format(titles=" | ".join(_TITLES), rows="\n".join(rows))


def _score(site: str, resolution: str, s: Mapping[str, float]) -> str:
    return (
        f"| {site} | {resolution} | {s['n']} | {s['skill_pct']:.1f} % | {s['nrmse_pct']:.2f} "
        f"| {s['smart_nrmse_pct']:.2f} | {s['pinball_pct']:.2f} | {s['coverage80_pct']:.0f} % |"
    )


def _caps(curtailment: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[str]:
    for site, found in curtailment.items():
        for resolution, s in found.items():
            ratio = s["nrmse_pct"] / s["oracle_nrmse_pct"]
            yield (
                f"| {site} | {resolution} | {s['n']} | {s['mbe_pct']:+.1f} % "
                f"| {s['bias_pct']:+.1f} % | {s['nrmse_pct']:.2f} | {s['oracle_nrmse_pct']:.2f} "
                f"| {ratio:.2f} ± {s['ratio_spread']:.2f} |"
            )


def _source(source: Mapping[str, Any], window: Mapping[str, Any]) -> str:
    kind = "irradiance (GHI)" if source["quantity"] == "ghi_wm2" else "AC power"
    return (
        f"| {source['name']} | {kind}, {source['minutes']} min "
        f"| {window['first']} to {window['last']} | {source['licence']} | {source['origin']} |"
    )
