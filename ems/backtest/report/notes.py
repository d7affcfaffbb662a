"""What was assumed, and what the numbers do not say."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from ems.backtest.fixed_caps import fixed_caps_told
from ems.backtest.keeping import ChainKey
from ems.backtest.period import parts_of_months
from ems.backtest.report.kept import Kept
from ems.backtest.study import CUT

FORECASTS = {
    "lstm": "the LSTM that ships, below it fading persistence and the clear sky",
    "smart_persistence": "fading persistence, below it the clear sky",
    "clear_sky": "the clear sky",
    "perfect": "none: sun and load of each interval are known",
}
IDEAL = (
    "What a real site adds is not here: devices that do not answer, meters that err, links that "
    "break. Devices follow their setpoints at once, generators by their ramp."
)
SHOWN = 20
"""Failed days that are listed; all are in failed.json."""


def notes(kept: Kept, summed: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence or two each.

    Args:
        kept: the folder.
        summed: metrics by site and policy.
    """
    study = kept.study
    return [
        *_truth(study["errors"]),
        *_series(kept),
        *_forecast(study),
        *_days(study),
        *fixed_caps_told(kept.chains, kept.sites),
        *_costs(study, summed),
        IDEAL,
    ]


def failed_days(kept: Kept) -> list[str]:
    """Days that are missing, and why."""
    lines = []
    for told in kept.failed[:SHOWN]:
        chain = told["chain"]
        where = ", ".join(str(v) for v in chain.values()) if isinstance(chain, dict) else chain
        lines.append(f"{told['day']} ({where}): {told['why']}")
    more = len(kept.failed) - SHOWN
    return [*lines, f"and {more} more, in failed.json"] if more > 0 else lines


def missing_days(kept: Kept) -> list[str]:
    """Chains that lack days which others of their site have: sums are of other days."""
    held: dict[ChainKey, set[str]] = {
        key: {path.stem for path in kept.chains.get(key, ())} for key in kept.asked
    }
    lines = []
    for key, mine in held.items():
        every = set().union(*(days for other, days in held.items() if other.site == key.site))
        if not mine:
            lines.append(f"{key}: has no day; {_without(kept, key)}")
        elif mine != every:
            lines.append(
                f"{key}: {len(mine)} days in place of {len(every)}; its sums cannot be compared "
                "with the others', but on the days that all have."
            )
    return lines


def _without(kept: Kept, lacking: ChainKey) -> str:
    """What it means that a chain has no day at all."""
    there = [key for key in kept.chains if key.site == lacking.site]
    if all(key.policy != lacking.policy for key in there):
        return "the policy is left out."
    if all(key.seed != lacking.seed for key in there):
        return "the seed is left out."
    return "policies are compared over the seeds that all have, and not with the oracle."


def _truth(errors: Mapping[str, Any]) -> Iterator[str]:
    noise, lines = 100 * errors["load_noise"], 100 * errors["parameter_error"]
    yield (
        "The truth is a load flow on a feeder of its own, which the EMS sees only through its "
        f"devices' measurements. In it each bus' share of the load is off by {noise:g} % "
        "(standard deviation, drawn anew in each step)"
        + (
            f" and the impedance of each line by {lines:g} % (drawn once per seed)."
            if lines
            else "; lines are as in the model."
        )
    )
    if errors["head_v_pu"] is not None:
        yield f"The voltage at the head of the true feeder is {errors['head_v_pu']:g} pu."
    if errors["reactive_share"] != 1.0:
        yield (
            f"True loads take {errors['reactive_share']:g} times the reactive power that the "
            "model gives them."
        )


def _series(kept: Kept) -> Iterator[str]:
    for name, told in kept.study["sites"].items():
        if told["profiles"] == "generated":
            seeds = ", ".join(map(str, kept.study["seeds"]))
            yield (
                f"{name}: sun and load are made up (clear sky under seeded clouds, a load between "
                f"the site's bounds; seed {seeds}). They are plausible, and nobody's."
            )
        else:
            yield f"{name}: sun and load are those of a file ({told['profiles'][:23]}…)."
        yield from (f"{name}: {line}." for line in told.get("assumed", ()))
    steps = kept.study["steps"]
    length = f"{15 // steps} min" if steps else "5 min, or as long as the file tells"
    yield f"The truth is solved in steps of {length}; what happens within one is not seen."


def _forecast(study: Mapping[str, Any]) -> Iterator[str]:
    left = study["forecast_error"]
    how = "" if left == 1.0 else f" Of its error {100 * left:g} % is left."
    yield f"Forecast of the sun: {FORECASTS.get(study['forecast'], study['forecast'])}.{how}"
    if "oracle" in study["policies"]:
        yield (
            "The oracle knows the sun and the whole load for certain, and keeps a band for how the "
            "load lies on the buses, which nobody knows; no service can reach it. Where it broke a "
            "limit nothing is measured from it."
        )


def _days(study: Mapping[str, Any]) -> Iterator[str]:
    if study["independent_days"]:
        yield "Every day begins from the site's initial state: nothing carries over midnight."
    else:
        yield (
            f"Chains of more than {CUT} days are cut, and computed side by side. At each cut days "
            "run again until charge, powers, the month's peak, caps and taps agree; what the EMS "
            "has learnt of measured voltages is not compared."
        )
    if not study["reasons"]:
        yield "Explanations were switched off: the cost of caution is not known."


def _costs(study: Mapping[str, Any], summed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "Costs are of the truth: grid energy with the true losses, what export earns, and fuel. "
        "Wear of batteries is not counted. Cost of compliance is the EMS's own account: what an "
        "interval would have cost without limits, with the same batteries' charge; it does not add "
        "up to the difference between two policies. A new peak of the month is paid for once and "
        "told apart from it."
    )
    if any(row["unverified"] and row["compliance_usd"] is not None for row in summed):
        told = ", ".join(
            f"{row['site']}, {row['policy']}: {row['unverified']}"
            for row in summed
            if row["unverified"]
        )
        yield f"It leaves out intervals that were not verified as optimal ({told})."
    if any(row["demand_usd"] for row in summed):
        parts = parts_of_months(date.fromisoformat(study["from"]), date.fromisoformat(study["to"]))
        told = f", here of {' and '.join(parts)}" if parts else ""
        yield (
            "The demand charge is that of whole calendar months, by the highest import of the days "
            f"there are{told}."
        )
    if study["end_soc"] == "start":
        yield "Batteries end the period as they began, under every policy."
    elif any(row["soc_end_pct"] for row in summed):
        ends = "; ".join(
            f"{row['site']}, {row['policy']}: "
            + ", ".join(f"{name} {soc:.0f} %" for name, soc in row["soc_end_pct"].items())
            for row in summed
        )
        yield f"Batteries end as it comes, and what they hold is worth nothing here ({ends})."
    if any(row["seeds"] > 1 for row in summed):
        yield (
            "Several seeds: costs and energies are means, counts are sums, depths the worst. Days "
            "are drawn of the first seed."
        )
