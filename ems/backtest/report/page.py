"""The page as a whole. It asks nobody for anything: style and figures are in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ems.backtest.report.drawing import Picture
from ems.backtest.report.figures import cost_figure, curtailment_figure, voltage_figure
from ems.backtest.report.gathered import gathered
from ems.backtest.report.intervals import worst_intervals
from ems.backtest.report.kept import Kept
from ems.backtest.report.markup import figure, items, section
from ems.backtest.report.notes import failed_days, missing_days, notes
from ems.backtest.report.policies import policy_tables
from ems.backtest.report.stacks import chosen_days, stack_figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is told of one site."""

    links: Sequence[tuple[str, str]]
    """Anchor and title of its sections."""
    body: str


def site_part(kept: Kept, name: str, summed: Sequence[Mapping[str, Any]], figures: Path) -> Part:
    """Tables, figures and worst intervals of one site.

    Args:
        kept: the folder.
        name: of the site.
        summed: metrics of its policies.
        figures: folder of their files.
    """
    site, policies = kept.sites[name], gathered(kept, name)
    period = [
        voltage_figure(figures, site, policies),
        cost_figure(figures, site, policies),
        curtailment_figure(figures, site, policies),
    ]
    days = [stack_figure(figures, kept, policies, day) for day in chosen_days(policies)]
    sections = [
        ("policies", "Policies side by side", policy_tables(summed)),
        ("period", "The period in figures", "".join(_drawn(p) for p in period if p)),
        ("days", "Chosen days", "".join(_drawn(p) for p in days)),
        ("worst", "Worst intervals", worst_intervals(kept, policies)),
    ]
    several = len(kept.study["sites"]) > 1
    titled = [
        (f"{name}-{anchor}", f"{name}: {title}" if several else title, body)
        for anchor, title, body in sections
    ]
    return Part(
        links=[(anchor, title) for anchor, title, _ in titled],
        body="".join(section(*told) for told in titled),
    )


def page(kept: Kept, summed: Sequence[Mapping[str, Any]], parts: Sequence[Part]) -> str:
    """The document.

    Args:
        kept: the folder.
        summed: metrics by site and policy.
        parts: of its sites.
    """
    names = ", ".join(dict.fromkeys(row["site"] for row in summed))
    title = f"Backtest of {names}, {kept.first} to {kept.last}"
    links = [*(link for part in parts for link in part.links), ("notes", "What was assumed")]
    contents = "".join(f'<li><a href="#{escape(a)}">{escape(t)}</a></li>' for a, t in links)
    body = "".join(part.body for part in parts)
    body += section("notes", "What was assumed", items(notes(kept, summed)) + _made_by(kept))
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # What the page must not do, the browser refuses as well; the icon is asked for otherwise.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">"
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{style}</style>'
        f"</head><body><header><h1>{escape(title)}</h1>"
        f'<p class="facts">{escape(_facts(kept))}</p>{_warnings(kept)}'
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav></header>'
        f"<main>{body}</main></body></html>\n"
    )


def _drawn(of: Picture) -> str:
    return figure(of.svg, of.title, of.words, of.name)


def _facts(kept: Kept) -> str:
    days = (kept.last - kept.first).days + 1
    seeds = len(kept.study["seeds"])
    policies = ", ".join(dict.fromkeys(key.policy for key in kept.chains))
    told = f"{days} local day{'s' * (days > 1)}, policies {policies}"
    return told + (f", {seeds} seeds" if seeds > 1 else "") + "."


def _warnings(kept: Kept) -> str:
    """Days that are not there: nobody may miss them."""
    lines = [*failed_days(kept), *missing_days(kept)]
    if not lines:
        return ""
    return f'<div class="warning"><p><b>Days are missing.</b></p>{items(lines)}</div>'


def _made_by(kept: Kept) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in kept.study["versions"].items())
    return f"<p><small>Computed with {escape(versions)}.</small></p>"
