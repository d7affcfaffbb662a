"""The card of an artefact: what a person should know before trusting it."""

from collections.abc import Mapping
from typing import Any

_HEAD = """# {id}

The forecast model as published: an LSTM over nine numbers (sine and cosine of the month, sine
and cosine of the solar time of day, PV power at the same time stamp of the five previous days,
as shares of the rating) that gives the mean PV power of the coming 15 minutes. {parameters}
parameters, LiteRT, SHA-256 `{sha256}`.

## How good it is

{verdict}

Daylight nRMSE in percent of the rating (root mean square error over intervals with the sun above
5°), on the last 15 % of each series, which training never saw; all methods on the same intervals.

| source | tested from | to | intervals | this model | persistence | smart persistence |
|---|---|---|---|---|---|---|
{scores}

The held-out tail of a one-year series covers one season only. All five lags existed in the
share of measured daylight intervals given below; for the others the service uses fading
persistence.

## What it was trained on

| source | quantity | series | lags exist | licence | origin |
|---|---|---|---|---|---|
{sources}

The first 70 % of each series trained the weights and the next 15 % stopped the training
(seed {seed}, {epochs} epochs, {versions}). The data are not part of the artefact.
{chain}
## What it is not for

- It knows neither the weather nor the last hour: a forecaster that sees the last measurement
  does better for the next 15 minutes.
- Trained on {bounds}; elsewhere it is untried.
  Southern sites get their month shifted by half a year.
- Intervals with a power cap in force must not enter the five lags: the history gives them as
  unknown, and the model is then not used.
"""

_CHAIN = """
Irradiance was turned into the power of a nominal 1-kW plant: GHI to direct and diffuse (Erbs),
plane of the array (Hay and Davies) facing the equator at the latitude but at most 35°, power
in proportion to irradiance with the rating at 1000 W/m², clipped to it. Other columns of the
files, such as modelled clear skies, were not used.
"""


def render_card(manifest: Mapping[str, Any]) -> str:
    """Markdown card of a manifest."""
    training = manifest["training"]
    sources, scores = training["sources"], manifest["scores"]
    return _HEAD.format(
        id=manifest["id"],
        parameters=training["parameters"],
        sha256=manifest["sha256"],
        verdict=_verdict(scores),
        scores="\n".join(_score_row(s) for s in scores),
        sources="\n".join(_source_row(s, t) for s, t in zip(sources, scores, strict=True)),
        seed=training["seed"],
        epochs=training["epochs"],
        versions=", ".join(f"{k} {v}" for k, v in training["versions"].items()),
        chain=_CHAIN if any(s["quantity"] == "ghi_wm2" for s in sources) else "",
        bounds=_latitudes(sources),
    )


def _verdict(scores: list[Mapping[str, Any]]) -> str:
    lost = [s for s in scores if s["lstm_pct"] > s["persistence_pct"]]
    smart = [s for s in scores if s["lstm_pct"] > s["smart_persistence_pct"]]
    places = f"{len(scores)} source" + ("s" if len(scores) > 1 else "")
    text = (
        f"**It loses to plain persistence on {len(lost)} of {places} and to smart persistence\n"
        f"on {len(smart)}.**"
    )
    if smart:
        text += (
            " It is kept as the published reference, not as the best forecast: choose\n"
            "smart persistence where accuracy matters."
        )
    return text


def _score_row(s: Mapping[str, Any]) -> str:
    return (
        f"| {s['source']} | {s['tested_from']} | {s['last']} | {s['samples']} "
        f"| {s['lstm_pct']:.1f} | {s['persistence_pct']:.1f} | {s['smart_persistence_pct']:.1f} |"
    )


def _source_row(source: Mapping[str, Any], score: Mapping[str, Any]) -> str:
    kind = {"ghi_wm2": "irradiance (GHI)"}.get(source["quantity"], "AC power")
    return (
        f"| {source['name']} | {kind} | {score['first']} to {score['last']} "
        f"| {score['with_lags_pct']:.0f} % | {source['licence']} | {source['origin']} |"
    )


def _latitudes(sources: list[Mapping[str, Any]]) -> str:
    found = [s["geometry"]["latitude_deg"] for s in sources]
    places = "one site" if len(found) == 1 else f"{len(found)} sites"
    return f"{places} between {min(found):.1f}° and {max(found):.1f}° of latitude"
