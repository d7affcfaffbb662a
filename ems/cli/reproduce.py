"""`geems reproduce`: the published case beside ours."""

import click

from ems.cli.outcome import json_option, print_json


@click.command()
@json_option
def reproduce(*, as_json: bool) -> None:
    """Print the published table beside both modes, and what is assumed."""
    from ems.reproduce import reproduce as solve_case

    result = solve_case()
    if as_json:
        print_json(result)
        return
    from ems.cli.tables import print_reproduction

    print_reproduction(result)
