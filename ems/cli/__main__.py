"""`python -m ems.cli`, for where the console script is not on the path."""

from ems.cli import main

main(prog_name="geems")
