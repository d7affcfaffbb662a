"""`geems ieee2030-5`: the server for DERs, its certificates, and what others' files become."""

import click

from ems.cli.ieee2030_5.certs import certs
from ems.cli.ieee2030_5.import_ import import_configuration
from ems.cli.ieee2030_5.serve import serve


@click.group("ieee2030-5")
def ieee2030_5() -> None:
    """IEEE 2030.5: serve DERs, make certificates, import configurations."""


for command in (serve, certs, import_configuration):
    ieee2030_5.add_command(command)
