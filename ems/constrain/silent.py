"""What holds when GEEMS is silent, told to people: refused where it can be mended, or said."""

from collections.abc import Collection

from ems.constrain.reversion import holding_violations, largest_safe_share, reversion_violations
from ems.domain import Site
from ems.errors import BadInput
from ems.ports import Network


def check_reversion(site: Site, network: Network, place: str) -> None:
    """Refuse a site whose devices would break limits when GEEMS is silent.

    Raises:
        BadInput: names the worst violation and the caps that would be safe.
    """
    broken = reversion_violations(site, network)
    if not broken:
        return
    share = largest_safe_share(site, network)
    safe = ", ".join(f"{pv.name} {share * pv.reversion_kw:.0f}" for pv in site.pvs)
    mend = (
        f"lower reversion_kw of the PV plants, at most: {safe}"
        if share > 0.0
        else "no PV cap mends it: check load.min_kw, the feeder and the DGs' reversion_kw"
    )
    raise BadInput.at(
        f"{place}: reversion_kw",
        f"together, at load.min_kw under a clear sky, the reversion values break a limit: "
        f"{broken[0]}; {mend}",
    )


def unproved(site: Site, network: Network, holding: Collection[str]) -> str:
    """What nobody can promise of devices that keep their last command when GEEMS is silent.

    No fault: without GEEMS such a device is not safer, and no key of the site file mends it.

    Args:
        site: what is installed.
        network: its feeder.
        holding: names of the devices that have no timer.

    Returns:
        For people; empty where the limits are kept whatever these devices hold.
    """
    broken = holding_violations(site, network, holding)
    if not broken:
        return ""
    names = ", ".join(name for name in site.names if name in holding)
    one = len(holding) == 1
    keep, they, them = ("keeps its", "it", "it") if one else ("keep their", "they", "them")
    return (
        f"not proved safe when GEEMS dies: {names} {keep} last command, and what {they} may be "
        f"told could break {'; '.join(str(v) for v in broken)}; give {them} a timer, or a limit "
        "of the device's own"
    )
