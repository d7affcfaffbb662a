"""The command line: `geems`.

Heavy libraries are imported inside the commands, so that `geems --help` answers at once.
"""

import logging
import sys
from typing import Any

import click

from ems.cli.audit import audit
from ems.cli.backtest import backtest
from ems.cli.backup import backup, restore
from ems.cli.coordinate import coordinate
from ems.cli.discover import discover
from ems.cli.doctor import doctor
from ems.cli.explain import explain
from ems.cli.forecast import forecast
from ems.cli.foreign import foreign_packages
from ems.cli.ieee2030_5 import ieee2030_5
from ems.cli.models import models
from ems.cli.operate import demo, run, serve
from ems.cli.outcome import document_usage, interrupted, remember_json, report
from ems.cli.plant import plant
from ems.cli.release import release
from ems.cli.replay import replay
from ems.cli.reproduce import reproduce
from ems.cli.rtu import icd, rtu
from ems.cli.site_file import init, validate
from ems.cli.step_response import step_response
from ems.cli.sweep import sweep


class Geems(click.Group):
    """The group of all commands: every fault leaves it as one clear message and an exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what stands before the command; the command parses the rest in `invoke`."""
        remember_json(ctx, args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            with ctx:
                document_usage(error)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; see `outcome` for the exit codes."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            document_usage(error)
            raise
        except (KeyboardInterrupt, click.Abort):  # click would tell them as a fault
            ctx.exit(interrupted())
        except (click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params["debug"]:
                raise
            ctx.exit(report(error))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Commands in the order in which a new user meets them."""
        return list(self.commands)


@click.group(cls=Geems, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="geems")
@click.option("--debug", is_flag=True, help="Show the traceback of a fault.")
def main(*, debug: bool) -> None:  # noqa: ARG001 - read by Geems.invoke
    """Grid-edge energy management: decide, prove by load flow, write, and say why.

    Exit codes: 0 ok, 1 fault, 2 bad input, 3 degraded, 130 interrupted with work left.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # A device that does not answer is told by its gateway, once.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    strangers = foreign_packages()
    if strangers:
        click.echo("\n".join(strangers), err=True)
        sys.exit(1)


for command in (
    *(demo, init, validate, doctor, run, serve, explain, replay),
    *(plant, reproduce, forecast, models),
    *(release, coordinate, backtest, sweep, step_response),
    *(icd, rtu, ieee2030_5),
    *(discover, audit, backup, restore),
):
    main.add_command(command)
