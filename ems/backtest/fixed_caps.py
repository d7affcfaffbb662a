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
    other_share: float
    """Most of its rating that any other device may give or take [1]."""
    lowest_load_kw: float
    """Of the segment, in any step of the period [kW]."""
    broken_idle: bool = False
    """Whether limits are broken with every device off, at that load or at the highest one."""

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
            dg_kw = self.other_share * sum(dg.rated_kw for dg in site.dgs)
            others.append(f"generators at {dg_kw:,.0f} kW")
        if site.bess:
            bes_kw = self.other_share * sum(bes.rated_kw for bes in site.bess)
            others.append(f"batteries at {bes_kw:,.0f} kW either way")
        beside = f", with {' and '.join(others)}" if others else ""
        at = f"at {self.lowest_load_kw:,.0f} kW, the lowest load of the period"
        safe = (
            f"with every device off limits are broken {at}, or at the highest one, and no further "
            "so"
            if self.broken_idle
            else f"safe {at}"
        )
        return (
            f"every PV plant stands under a fixed cap, {caps}; {safe}{beside}. Nobody knows that "
            "load in advance, so this favours rules."
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
