"""`geems explain`: why a dispatch was what it was, from its record."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.outcome import json_option, print_json
from ems.cli.recorded import Time, recorded, site_option

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.domain import Counterfactual, CycleRecord, Ledger
    from ems.settings import Settings


@click.command()
@click.argument("time", required=False, type=Time(), metavar="[TIME]")
@site_option
@click.option(
    "--what-if",
    is_flag=True,
    help="Decide the interval again with the dearest limit moved, and with more reactive "
    "power; proved by load flows.",
)
@json_option
def explain(time: datetime | None, site: Path, *, what_if: bool, as_json: bool) -> None:
    """Say why a dispatch was what it was: the ledger of one interval.

    TIME is any time within the interval, UTC unless it carries a zone; by default the latest
    record is told.
    """
    from ems.settings import load_settings

    settings = load_settings(site)
    record, previous = recorded(settings, time)
    asked = _decided_again(settings, record, previous) if what_if else ()
    if as_json:
        print_json(_document(record, asked))
    else:
        _print(record, asked)


# --- decided again -------------------------------------------------------------------


def _decided_again(
    settings: "Settings", record: "CycleRecord", previous: "CycleRecord | None"
) -> tuple["Counterfactual", ...]:
    """Alternatives to a recorded dispatch, each decided anew and proved by load flows."""
    from contextlib import closing
    from functools import partial

    from ems.constrain import constrain
    from ems.dispatch import dispatch
    from ems.domain import Secured, Setup, Site
    from ems.domain.costs import at_worth
    from ems.errors import BadInput
    from ems.explain import alternatives, proved
    from ems.explain import explain as account_for
    from ems.mismatch import corrected
    from ems.replay import given_of
    from ems.unmoved import unmoved
    from feeders import Feeder

    today = Setup(site=settings.to_site(), policy=settings.to_policy())
    given = given_of(record, today, previous)
    installed, policy = given.site, given.policy
    if record.plan is not None:
        installed = at_worth(installed, record.plan)
    if set(installed.names) != set(record.snapshot.ders):
        raise BadInput.at(
            settings.file.name,
            f"describes other DERs than the record of {record.start:%Y-%m-%d %H:%M} UTC; give "
            "the site file it was decided with, or leave --what-if out",
        )
    snapshot, forecast = given.snapshot, given.forecast
    pins = unmoved(installed, snapshot, given.held, given.watched)
    stay = {name: pin.expected for name, pin in pins.items()}
    with closing(Feeder.open(settings.feeder_source(), installed.placements)) as feeder:
        network = corrected(installed, feeder, record.mismatch)

        def secure(site: Site) -> Secured:
            solve = partial(
                dispatch, site, snapshot, forecast, given.price_usd_per_kwh,
                loss_factor=record.free.loss_factor, peak_kw=record.free.peak_kw,
            )  # fmt: skip
            free = solve((), stay)
            return constrain(site, snapshot, forecast, free, network, solve, policy.mode, pins)

        now = secure(installed)
        ledger = account_for(installed, record.free, now)
        return proved(now, alternatives(installed, now, ledger.limits), secure)


# --- telling -------------------------------------------------------------------------


def _document(record: "CycleRecord", asked: tuple["Counterfactual", ...]) -> dict[str, Any]:
    """The ledger as one document."""
    import json
    from dataclasses import asdict

    from ems.record import to_json

    ledger = json.loads(to_json(record))["ledger"]
    notes_of = record.forecast.notes_by_plant()
    found = ledger["counterfactuals"] + [asdict(c) for c in asked]
    return {
        "start": record.start.isoformat(),
        "site": record.site,
        "status": record.status,
        **ledger,
        "alarms": list(record.alarms),
        "forecast": {
            name: {"method": pv.method, "notes": list(notes_of[name])}
            for name, pv in record.forecast.pv.items()
        },
        "compliance_usd": record.ledger.compliance_usd,
        "counterfactuals": found,
    }


def _print(record: "CycleRecord", asked: tuple["Counterfactual", ...]) -> None:
    from rich.console import Console
    from rich.markup import escape

    from ems.cli.explain_table import print_limits, print_moved, print_worth
    from ems.cli.forecast_lines import forecast_lines

    console, ledger = Console(), record.ledger
    when = f"{record.site}, {record.start:%Y-%m-%d %H:%M} UTC: {record.status}"
    console.print(escape(when), highlight=False)
    console.print(escape(ledger.sentence), highlight=False)
    if ledger.entries:
        print_moved(console, ledger)
        print_worth(console, ledger)
    if ledger.limits:
        print_limits(console, ledger)
    told = (*_sums(ledger), *_alternatives((*ledger.counterfactuals, *asked)))
    for line in (*told, *forecast_lines(record.forecast)):
        console.print(escape(line), highlight=False)
    again = f"geems replay {record.start:%Y-%m-%dT%H:%M}"
    # Commands are copied: each stays whole on a line of its own.
    for line in (f"Decide it again: {again}", f"Otherwise: {again} --set KEY=VALUE"):
        console.print(line, highlight=False, soft_wrap=True)


def _sums(ledger: "Ledger") -> Iterator[str]:
    """The ledger's closing lines."""
    yield (
        f"Compliance: {ledger.compliance_usd_per_h:.2f} $/h of energy and fuel, "
        f"{ledger.compliance_usd:.2f} $ in this quarter of an hour"
        + (
            f", {ledger.compliance_demand_usd:.2f} $ of it for a new peak of the month, once."
            if ledger.compliance_demand_usd
            else "."
        )
    )
    if not ledger.limits:
        return
    yield (
        f"It closes: {ledger.objective_usd_per_h:.2f} $/h with the worth of what is stored = "
        f"{ledger.relief_usd_per_h:.2f} relieved − {ledger.device_usd_per_h:.2f} taken up by the "
        f"devices' own limits + {round(ledger.unattributed_usd_per_h, 2) + 0.0:.2f} unattributed."
    )


def _alternatives(asked: tuple["Counterfactual", ...]) -> Iterator[str]:
    for one in asked:
        how = "proved by load flows" if one.verified else "linear"
        promised = one.price_usd_per_h_per_unit * one.step
        yield (
            f"With {one.what}: {one.saves_usd_per_h:.2f} $/h saved ({how}; its price promises "
            f"{promised:.2f})."
        )
