"""What came of one interval, step by step, as the truth has it."""

from ems.backtest.devices import HOURS, Devices
from ems.backtest.rows import Worst
from ems.domain import LoadFlow, Site


class Lived:
    """Sums over the steps of an interval."""

    def __init__(self, site: Site, price_usd_per_kwh: float, hours: float) -> None:
        """Nothing yet.

        Args:
            site: what is installed.
            price_usd_per_kwh: of energy from the grid [$/kWh].
            hours: length of a step [h].
        """
        self._site = site
        self._price, self._hours = price_usd_per_kwh, hours
        sold = site.export_price_usd_per_kwh
        self._selling = price_usd_per_kwh if sold is None else sold
        self._steps = 0
        self._worst = Worst(site=site)
        self._p_kw = dict.fromkeys(site.names, 0.0)
        self._q_kvar = dict.fromkeys(site.names, 0.0)
        self._available_kw = {pv.name: 0.0 for pv in site.pvs}
        self._load_kw = self._grid_kw = self._losses_kw = self._energy_usd = 0.0

    def add(self, devices: Devices, load_kw: float, flow: LoadFlow) -> None:
        """Take in one step; where the load flow gave no answer, the grid without losses."""
        self._steps += 1
        self._worst.add(flow)
        for name, p_kw in devices.p_kw.items():
            self._p_kw[name] += p_kw
            self._q_kvar[name] += devices.q_kvar[name]
        for name, available_kw in devices.available_kw.items():
            self._available_kw[name] += available_kw
        head_kw = flow.head_kw if flow.converged else load_kw - sum(devices.p_kw.values())
        self._load_kw += load_kw
        self._grid_kw += head_kw
        self._losses_kw += flow.losses_kw if flow.converged else 0.0
        rate = self._price if head_kw >= 0.0 else self._selling
        self._energy_usd += self._hours * rate * head_kw

    @property
    def load_kw(self) -> float:
        """Mean consumption [kW]."""
        return self._load_kw / self._steps

    @property
    def grid_kw(self) -> float:
        """Mean import [kW]."""
        return self._grid_kw / self._steps

    @property
    def p_kw(self) -> dict[str, float]:
        """Mean power of each DER [kW]."""
        return {name: p / self._steps for name, p in self._p_kw.items()}

    @property
    def q_kvar(self) -> dict[str, float]:
        """Likewise, reactive [kvar]."""
        return {name: q / self._steps for name, q in self._q_kvar.items()}

    def columns(self, devices: Devices, expected_kw: float) -> dict[str, object]:
        """As a row holds them.

        Args:
            devices: as they stand at the end.
            expected_kw: of all PV plants, as forecast [kW].
        """
        site, p_kw = self._site, self.p_kw
        available = {name: a / self._steps for name, a in self._available_kw.items()}
        pv_kw, available_kw = sum(p_kw[name] for name in available), sum(available.values())
        fuel_usd = sum(HOURS * d.cost_usd_per_kwh * p_kw[d.name] for d in site.dgs)
        row: dict[str, object] = {
            "price_usd_per_kwh": self._price,
            "load_kw": self.load_kw,
            "grid_kw": self.grid_kw,
            "losses_kw": self._losses_kw / self._steps,
            "cost_usd": self._energy_usd + fuel_usd,
            "dg_cost_usd": fuel_usd,
            "pv_kw": pv_kw,
            "pv_available_kw": available_kw,
            "pv_expected_kw": expected_kw,
            "curtailed_kw": available_kw - pv_kw,
            "bes_kw": sum(p_kw[b.name] for b in site.bess),
            "dg_kw": sum(p_kw[d.name] for d in site.dgs),
            **self._worst.columns(),
        }
        row |= {f"p_kw.{name}": p for name, p in p_kw.items()}
        row |= {f"q_kvar.{name}": q for name, q in self.q_kvar.items()}
        row |= {f"cap_kw.{name}": cap for name, cap in devices.cap_kw.items()}
        row |= {f"available_kw.{name}": a for name, a in available.items()}
        row |= {f"soc_pct.{name}": soc for name, soc in devices.soc_pct.items()}
        return row
