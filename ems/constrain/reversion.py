"""Whether the feeder is safe when GEEMS is silent.

Every device carries a value it falls back to by itself. All of them TOGETHER must keep the
limits at the lowest load under a clear sky, or a dead EMS would break them.
"""

from collections.abc import Mapping
from dataclasses import replace

from ems.constrain.cases import reversion_set, violations
from ems.domain import Injections, LoadFlow, RowKind, Setpoint, Site, Violation
from ems.ports import Network


def reversion_violations(site: Site, network: Network) -> tuple[Violation, ...]:
    """What the reversion values break at lowest load and clear sky; empty when safe."""
    return _broken(site, network, reversion_set(site, None))


def largest_safe_share(site: Site, network: Network) -> float:
    """Largest common factor on the PV reversion caps that is safe [1]; 0 where none is."""
    wanted = reversion_set(site, None)

    def share_of(share: float) -> Mapping[str, Setpoint]:
        return {
            n: replace(s, p_kw=s.p_kw * share) if any(d.name == n for d in site.pvs) else s
            for n, s in wanted.items()
        }

    lo, hi = 0.0, 1.0
    for _ in range(12):
        middle = (lo + hi) / 2
        lo, hi = (lo, middle) if _broken(site, network, share_of(middle)) else (middle, hi)
    return lo


def _broken(
    site: Site, network: Network, setpoints: Mapping[str, Setpoint]
) -> tuple[Violation, ...]:
    flow: LoadFlow = network.load_flow(
        Injections(
            p_kw={n: s.p_kw for n, s in setpoints.items()},
            q_kvar=dict.fromkeys(setpoints, 0.0),
            load_kw=site.load_min_kw,
        )
    )
    if not flow.converged:
        return (
            Violation(kind=RowKind.V_MAX, place="load flow (diverged)", value=float("inf"),
                      limit=site.limits.v_max_pu, case="reversion"),
        )  # fmt: skip
    return violations(flow, site.limits, "reversion")
