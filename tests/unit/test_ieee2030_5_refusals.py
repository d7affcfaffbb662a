"""What simulated inverters, and a site under its utility, refuse by the value asked for."""

import pytest

from ems.enddevice.application import INVALID, DerApplication
from ems.gateways.ieee2030_5.site_as_der import SiteAsDer
from ems.plant.ieee2030_5 import SimulatedDer
from tests.sites import segment

SITE = segment()
APPLICATIONS: dict[str, DerApplication] = {
    "a PV plant": SimulatedDer(SITE.pvs[0]),
    "a battery": SimulatedDer(SITE.bess[0]),
    "a site": SiteAsDer(SITE),
}


@pytest.mark.parametrize("der", APPLICATIONS.values(), ids=APPLICATIONS)
@pytest.mark.parametrize(("limit", "refusal"), [(0, None), (10_000, None), (20_000, INVALID)])
def test_a_limit_of_more_than_the_rating_is_refused(
    der: DerApplication, limit: int, refusal: int | None
) -> None:
    assert der.refuses({"opModMaxLimW": limit}) == refusal
