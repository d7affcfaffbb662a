"""The forecast of the next interval, and what catches it where it fails.

| branch | needs | quantiles |
|---|---|---|
| `lstm` | the pooled model, and what it asks of the record | its own, calibrated on line |
| `smart_persistence`, fading | a measurement of the hour before | binned residuals |
| `clear_sky` | nothing | binned residuals |

A rung fails when it raises, or where its answer is not finite, not in order or not within the
rating; the model also while it has erred clearly more than fading persistence of late (`contest`).
`ladder_series` walks a whole record, `PlantLadder` one interval at a time, `next_of_all` the same
for all plants of a site at once; all advance the same state in the same way, so a service restarted
from its history forecasts as if it had never stopped.

The model's mean is corrected on line too (`correction`), and kept within the 90 % band. The lower
rungs never expect less than what was just made under a cap; the model is told of it.
"""

from forecasting.ladder.answers import Model
from forecasting.ladder.service import PlantLadder, next_of_all
from forecasting.ladder.state import BRANCHES, Branch, LadderForecast, LadderState
from forecasting.ladder.whole import ladder_series

__all__ = [
    "BRANCHES",
    "Branch",
    "LadderForecast",
    "LadderState",
    "Model",
    "PlantLadder",
    "ladder_series",
    "next_of_all",
]
