"""A backtest as one page: self-contained HTML, and its figures as PNG and SVG beside it.

All of it is made from what the study's folder holds, so it can be written again at any time, and
without whoever ran the backtest:

    OUT/report.html
    OUT/figures/SITE_voltage.png, .svg …
"""

from pathlib import Path

from ems.backtest.comparing import measured
from ems.backtest.keeping import write_whole
from ems.backtest.report.kept import Kept
from ems.backtest.report.page import page, site_part
from ems.backtest.seeds import summed_up

__all__ = ["FIGURES", "REPORT", "write_report"]

REPORT = "report.html"
FIGURES = "figures"


def write_report(folder: Path) -> Path:
    """Write the page and its figures.

    Args:
        folder: of a study, complete or not.

    Returns:
        Where the page is.

    Raises:
        BadInput: the folder holds no results.
        OSError: a file cannot be written.
    """
    kept = Kept.at(folder)
    summed = summed_up(measured(folder, kept.sites))
    figures = folder / FIGURES
    figures.mkdir(exist_ok=True)
    parts = [
        site_part(kept, site, [r for r in summed if r["site"] == site], figures)
        for site in dict.fromkeys(key.site for key in kept.chains)
    ]
    target = folder / REPORT
    write_whole(target, page(kept, summed, parts).encode())
    return target
