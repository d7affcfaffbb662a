"""The caps of `rules` as they are told: with the rows of each day, in the table, in the report."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
from pyarrow import parquet

from ems.backtest.keeping import ChainKey
from ems.domain import Site

_KEY = b"geems.fixed_caps"


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedCaps:
    """Shares of ratings that are safe whatever happens, and at which load they were found."""

    pv_share: float
    """Cap of every PV plant over its rating while no generator runs [1]."""
    beside_share: float
    """Likewise while one does [1]."""
    dg_share: float
    """Most of its rating that a generator may give [1]."""
    bes_share: float
    """Most of its rating that a battery may give or take [1]."""
    lowest_load_kw: float
    """Of the segment, in any step of the period [kW]."""
    highest_load_kw: float
    """Likewise."""
    broken_idle: bool = False
    """Whether limits are broken with every device off, at either of these loads."""

    def metadata(self) -> dict[bytes, bytes]:
        """As it goes with rows."""
        return {_KEY: json.dumps(asdict(self)).encode()}

    @classmethod
    def of_day(cls, path: Path) -> Self | None:
        """Those that went with the rows of a day; None: there were none."""
        try:
            told = (parquet.read_schema(path).metadata or {}).get(_KEY)
            return None if told is None else cls(**json.loads(told))
        except (OSError, pa.ArrowInvalid, TypeError, ValueError):
            return None  # another version's, or damaged: rows can be read without

    def words(self, site: Site) -> str:
        """In a sentence or two.

        Args:
            site: whose devices they hold back.
        """
        pv_kw = sum(pv.rated_kw for pv in site.pvs)
        caps = _cap(self.pv_share, pv_kw)
        others = []
        if site.dgs:
            caps = f"{_cap(self.beside_share, pv_kw)} while a generator runs, "
            caps += f"{_cap(self.pv_share, pv_kw)} while none does"
            dg_kw = self.dg_share * sum(dg.rated_kw for dg in site.dgs)
            others.append(f"generators at {dg_kw:,.0f} kW")
        if site.bess:
            bes_kw = self.bes_share * sum(bes.rated_kw for bes in site.bess)
            others.append(f"batteries at {bes_kw:,.0f} kW either way")
        beside = f", with {' and '.join(others)}" if others else ""
        lowest, highest = f"{self.lowest_load_kw:,.0f} kW", f"{self.highest_load_kw:,.0f} kW"
        loads = "the lowest and the highest load of the period"
        if self.broken_idle:
            safe = f"with every device off limits are broken at {lowest} or at {highest}, {loads}, "
            safe += "and no further so"
            safe += ", but for a battery on its way back to its first charge" if site.bess else ""
        else:
            safe = f"safe from {lowest} to {highest}, {loads}"
        return (
            f"every PV plant stands under a fixed cap, {caps}; {safe}{beside}. Nobody knows these "
            "loads in advance, so this favours rules."
        )


def _cap(share: float, rated_kw: float) -> str:
    return f"{100 * share:.1f} % of its rating ({share * rated_kw:,.0f} kW in all)"


def fixed_caps_told(
    chains: Mapping[ChainKey, Sequence[Path]], sites: Mapping[str, Site]
) -> Iterator[str]:
    """A line for each chain under `rules`.

    Args:
        chains: files of the days of each.
        sites: by name.
    """
    mine = {key: paths for key, paths in chains.items() if key.policy == "rules" and paths}
    for key, paths in mine.items():
        caps = FixedCaps.of_day(paths[0])
        if caps is not None and sites[key.site].pvs:
            alone = sum(other.site == key.site for other in mine) == 1
            which = f"{key.site}, rules" if alone else str(key)
            yield f"{which}: {caps.words(sites[key.site])}"
