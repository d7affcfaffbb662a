"""`geems release`: control handed back to the devices."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.outcome import Exit, json_option, print_json, site_argument

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.domain import Outcome


@click.command()
@site_argument
@json_option
def release(site: str, *, as_json: bool) -> None:
    """Hand control back: write every device what it falls back to by itself.

    These values are proved safe together. What relieves the network is written first, each value
    is read back. Stop the service before: only one process writes to a site.

    Ends with code 3 when a device did not confirm; it falls back when its timer runs out.
    """
    from ems.assembly import open_site
    from ems.cli.site_check import checked_settings

    with open_site(checked_settings(Path(site))) as opened:
        advisory = opened.policy.control == "advisory"
        outcomes = {} if advisory else opened.release(datetime.now(UTC))
        names = opened.site.names
    devices = {name: _told(outcomes.get(name)) for name in names}
    ok = all(told["outcome"] in ("sent", "advisory") for told in devices.values())
    if as_json:
        print_json({"ok": ok, "devices": devices})
    elif advisory:
        click.echo(f"{site} is run in advisory mode: nothing was ever written, nothing to release")
    else:
        for name, told in devices.items():
            click.echo(f"{name}: {told['outcome']}{_values(told)}")
    if not ok:
        raise click.exceptions.Exit(Exit.DEGRADED)


def _told(outcome: "Outcome | None") -> dict[str, Any]:
    """What became of one device, ready for JSON: what it reads back, else what it was asked."""
    if outcome is None:
        return {"outcome": "advisory", "reason": "nothing was ever written"}
    held = getattr(outcome, "readback", None) or outcome.command
    return {
        "outcome": type(outcome).__name__.lower(),
        "reason": getattr(outcome, "reason", ""),
        "p_kw": held.p_kw,
        "cap_kw": held.cap_kw,
        "q_kvar": held.q_kvar,
    }


def _values(told: Mapping[str, Any]) -> str:
    if told["reason"]:
        return f": {told['reason']}"
    p_kw, cap_kw = told["p_kw"], told["cap_kw"]
    cap = "no cap" if cap_kw is None else f"cap {cap_kw:g} kW"
    held = cap if p_kw is None else f"{p_kw:g} kW"
    return f", read back: {held}, {told['q_kvar']:g} kvar"
