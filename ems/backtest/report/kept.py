"""A study's folder as the report reads it: what was asked, the sites, rows column by column."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ems.backtest.keeping import FAILED, STUDY, ChainKey, days_of, rows_of
from ems.backtest.policies import POLICIES
from ems.domain import Bes, Der, Dg, Limits, Pv, Site
from ems.errors import BadInput

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A folder of results."""

    folder: Path
    study: Mapping[str, Any]
    """What was asked, as `study.json` holds it."""
    sites: Mapping[str, Site]
    chains: Mapping[ChainKey, Sequence[Path]]
    """Files of the days of each chain."""
    failed: Sequence[Mapping[str, Any]]
    """Days that could not be simulated."""

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Read what lies there; rows wait until they are asked for.

        Raises:
            BadInput: it holds no results.
        """
        study = _json(folder / STUDY)
        chains = days_of(folder)
        if study is None or not chains:
            problem = "holds no results of a backtest; give the --out of one"
            raise BadInput.at(str(folder), problem)
        try:
            sites = {name: _site(told["site"]) for name, told in study["sites"].items()}
        except (KeyError, TypeError, ValueError) as fault:
            problem = f"was written by another version ({fault}); run the backtest again"
            raise BadInput.at(str(folder / STUDY), problem) from None
        return cls(
            folder=folder,
            study=study,
            sites=sites,
            chains={key: chains[key] for key in sorted(chains, key=_place)},
            failed=_json(folder / FAILED) or (),
        )

    @property
    def first(self) -> date:
        """First local day that was asked for."""
        return date.fromisoformat(self.study["from"])

    @property
    def last(self) -> date:
        """Last one, included."""
        return date.fromisoformat(self.study["to"])

    @property
    def asked(self) -> list[ChainKey]:
        """All chains, also those of which no day is there."""
        keys = (
            ChainKey(site=site, policy=policy, seed=seed)
            for site in self.sites
            for policy in self.study["policies"]
            for seed in self.study["seeds"]
        )
        return sorted(keys, key=_place)

    def zone(self, site: str) -> str:
        """Local time zone of a site."""
        return str(self.study["sites"][site]["zone"])

    def of_site(self, site: str) -> dict[str, list[ChainKey]]:
        """Chains of each policy of a site, one per seed."""
        found: dict[str, list[ChainKey]] = {}
        for key in self.chains:
            if key.site == site:
                found.setdefault(key.policy, []).append(key)
        return found

    def columns(self, chain: ChainKey, names: Sequence[str]) -> dict[str, Any]:
        """Some columns of a chain, all days one after the other, as arrays by name."""
        return arrays(pa.concat_tables(self._tables(chain, names)))

    def day(self, chain: ChainKey, day: str, names: Sequence[str]) -> dict[str, Any] | None:
        """The same of one local day; None where it is not kept."""
        path = next((p for p in self.chains[chain] if p.stem == f"day={day}"), None)
        return None if path is None else arrays(_read(path, names))

    def _tables(self, chain: ChainKey, names: Sequence[str]) -> Iterator[pa.Table]:
        for path in self.chains[chain]:
            yield _read(path, names)


def arrays(table: pa.Table) -> dict[str, Any]:
    """Columns as arrays; numbers that are missing are NaN, times are UTC without a zone."""
    found: dict[str, Any] = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        values = column.to_numpy()
        found[name] = values.astype(np.float64) if pa.types.is_floating(column.type) else values
    return found


def _read(path: Path, names: Sequence[str]) -> pa.Table:
    return rows_of(path, set(names).__contains__).replace_schema_metadata(None)


def _place(key: ChainKey) -> tuple[str, int, int]:
    """Sites by name, policies as the manual lists them."""
    return key.site, POLICIES.index(key.policy), key.seed


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _site(told: Mapping[str, Any]) -> Site:
    values = dict(told)
    values["ders"] = tuple(_der(d) for d in told["ders"])
    values["limits"] = Limits(**told["limits"])
    return Site(**values)


def _der(told: Mapping[str, Any]) -> Der:
    """A DER by the keys that only its kind has; JSON tells infinity as a word."""
    kind: Any = Bes if "capacity_kwh" in told else Dg if "ramp_up_kw_per_h" in told else Pv
    values = {k: float(v) if v in ("inf", "-inf") else v for k, v in told.items()}
    der: Der = kind(**values)
    return der
