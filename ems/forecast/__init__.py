"""Forecast stage: the power each PV plant could give in the present interval, and the load.

A ladder, best rung first (`forecasting.ladder`); each plant stands on the best rung that its data
allow:

1. `lstm`: the champion of the pooled models, or `paper_lstm`, the published one;
2. `smart_persistence`: the clear-sky index of a measurement of the hour before, fading in low sun;
3. `clear_sky`: the usual share of the clear sky.

Each gives quantiles that are kept honest at the plant from interval to interval. The upper bound
does not come from the ladder. It is what no sky gives more than, so that a limit verified up to it
holds whatever the clouds do.
"""

from ems.forecast.forecaster import LadderForecaster
from ems.forecast.models import METHODS, Method

__all__ = ["METHODS", "LadderForecaster", "Method"]
