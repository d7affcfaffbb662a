"""`geems replay`: a recorded cycle decided again, the same or otherwise."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.outcome import Exit, json_option, print_json
from ems.cli.recorded import Time, recorded, site_option
from ems.errors import BadInput

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.domain import CycleRecord
    from ems.replay import Replayed

MOST_LINES = 20
"""Differences listed one by one, and DERs; the others are counted."""
MOST_LIMITS = 5
"""Limits that bind, named."""


@click.command()
@click.argument("time", required=False, type=Time(), metavar="[TIME]")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Decide it otherwise: a key of the site file (limits.v_max_pu, pv.NAME.q_max_kvar), "
    "price_usd_per_kwh, load_kw, measured.NAME.soc_pct, expected.NAME.upper_kw; may be repeated.",
)
@site_option
@json_option
def replay(time: datetime | None, changes: tuple[str, ...], site: Path, *, as_json: bool) -> None:
    """Decide a recorded cycle again, from its record and on the feeder; nothing is written.

    TIME is any time within the interval, UTC unless it carries a zone; by default the latest
    record is decided again. On the version and the feeder of the record every value is the same,
    to the last bit; where not, the command says what differs, and ends with code 3.

    With --set it shows what was decided, and what would have been, side by side.
    """
    from ems.replay import parsed
    from ems.replay import replay as decided_again
    from ems.settings import load_settings

    wanted, malformed = parsed(changes)
    try:
        settings = load_settings(site)
        record, previous = recorded(settings, time)
    except BadInput as bad:
        raise BadInput([*malformed, *bad.faults]) from None
    found = decided_again(record, previous, settings, wanted, malformed)
    if as_json:
        print_json(_document(found))
    else:
        _print(found)
    if not found.changes and not found.identical:
        raise click.exceptions.Exit(Exit.DEGRADED)


# --- one document --------------------------------------------------------------------


def _document(found: "Replayed") -> dict[str, Any]:
    from dataclasses import asdict

    document: dict[str, Any] = {
        "start": found.recorded.start.isoformat(),
        "site": found.recorded.site,
        "changes": {change.key: change.value for change in found.changes},
        "inputs": [asdict(one) for one in found.inputs],
        "notes": list(found.notes),
        "recorded": _told(found.recorded),
        "again": _told(found.again),
    }
    if not found.changes:
        document |= {
            "identical": found.identical,
            "values": found.compared.values,
            "differences": [asdict(one) for one in found.compared.differences],
        }
    return document


def _told(record: "CycleRecord") -> dict[str, Any]:
    """What was decided, in short."""
    from dataclasses import asdict

    from ems.domain import Verified

    # As in a backtest: another answer than an optimum differs from the free one by more than limits
    # ask, and where they cannot be kept by less.
    optimal = record.status == "verified" and isinstance(record.secured, Verified)
    decided, flow, ledger = record.secured.dispatch, record.secured.load_flow, record.ledger
    extremes = zip(("v_max", "v_min"), (flow.highest(), flow.lowest()), strict=True)
    return {
        "status": record.status,
        "sentence": ledger.sentence,
        "cost_usd_per_h": ledger.energy_usd_per_h(decided),
        "demand_usd": ledger.demand_usd,
        "compliance_usd_per_h": ledger.compliance_usd_per_h if optimal else None,
        "grid_kw": decided.grid_kw,
        "losses_kw": flow.losses_kw,
        **{side: {"node": node, "v_pu": v_pu} for side, (node, v_pu) in extremes},
        "loading_max_pct": float(max(flow.loading_pct, default=0.0)),
        "setpoints": {
            name: {key: value for key, value in asdict(at).items() if key != "der"}
            for name, at in decided.setpoints.items()
        },
        "limits": _limits(record),
        "alarms": list(record.alarms),
    }


def _limits(record: "CycleRecord") -> list[str]:
    from ems.explain import limit_words

    return [limit_words(limit) for limit in record.ledger.limits]


# --- telling -------------------------------------------------------------------------


def _print(found: "Replayed") -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()

    def say(*lines: str) -> None:
        for line in lines:
            console.print(escape(line), highlight=False, soft_wrap=True)

    when = f"{found.recorded.site}, {found.recorded.start:%Y-%m-%d %H:%M} UTC"
    if found.changes:
        said = ", ".join(str(change) for change in found.changes)
        say(f"{when}, with {said}")
        console.print(_side_by_side(found))
        say(f"Recorded: {found.recorded.ledger.sentence}")
        say(f"With {said}: {found.again.ledger.sentence}")
        say(*(f"Alarm: {line}" for line in found.again.alarms))
    else:
        say(f"{when}: {found.recorded.status}", found.again.ledger.sentence, *_verdict(found))
    say(*(f"differs: {one}" for one in found.inputs), *(f"note: {line}" for line in found.notes))


def _verdict(found: "Replayed") -> Iterator[str]:
    values, different = found.compared.values, found.compared.differences
    if not different:
        yield f"Decided again: bit-identical, all {values:,} values but wall times."
        return
    yield f"Decided again: {len(different):,} of {values:,} values are not the same."
    yield from (f"  {one}" for one in different[:MOST_LINES])
    if len(different) > MOST_LINES:
        yield f"  and {len(different) - MOST_LINES:,} more; --json lists all"


def _side_by_side(found: "Replayed") -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("", "recorded", "decided otherwise"):
        table.add_column(title, justify="right" if title else "left")
    rows = zip(_rows(found.recorded), _rows(found.again), strict=True)
    for (title, one), (_, other) in rows:
        table.add_row(title, one, other)
    ders = _ders(found)
    for row in ders[:MOST_LINES]:
        table.add_row(*row)
    if len(ders) > MOST_LINES:
        table.add_row(f"{len(ders) - MOST_LINES} other DERs; --json lists all", "", "")
    return table


def _rows(record: "CycleRecord") -> Iterator[tuple[str, str]]:
    told = _told(record)
    yield "status", told["status"]
    for title, key in (
        ("energy and fuel [$/h]", "cost_usd_per_h"),
        ("a new peak costs, once [$]", "demand_usd"),
        ("keeping the limits costs [$/h]", "compliance_usd_per_h"),
        ("from the grid [kW]", "grid_kw"),
        ("losses [kW]", "losses_kw"),
    ):
        yield title, "–" if told[key] is None else f"{told[key]:,.2f}"
    for title, side in (("highest voltage", "v_max"), ("lowest voltage", "v_min")):
        yield title, f"{told[side]['v_pu']:.4f} pu at {told[side]['node']}"
    yield "highest loading [%]", f"{told['loading_max_pct']:.1f}"
    limits = told["limits"]
    more = f" and {len(limits) - MOST_LIMITS} more" if len(limits) > MOST_LIMITS else ""
    yield "limits that bind", "; ".join(limits[:MOST_LIMITS]) + more or "none"


def _ders(found: "Replayed") -> list[tuple[str, str, str]]:
    """Setpoints of both, those first that moved most."""
    one, other = (r.secured.dispatch.setpoints for r in (found.recorded, found.again))

    def moved(name: str) -> float:
        a, b = one[name], other[name]
        return abs(a.p_kw - b.p_kw) + abs(a.q_kvar - b.q_kvar)

    return [
        (name, _setpoint(one[name]), _setpoint(other[name]))
        for name in sorted(one, key=lambda n: -moved(n))
    ]


def _setpoint(at: Any) -> str:
    cap = "" if at.cap_kw is None else f", cap {at.cap_kw:,.1f}"
    return f"{at.p_kw:,.1f} kW, {at.q_kvar:,.1f} kvar{cap}"
