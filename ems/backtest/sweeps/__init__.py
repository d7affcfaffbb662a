"""What a site could be: backtests along one quantity.

hosting_capacity(of, "B7", with_geems=True, period=period)    largest PV at a bus
forecast_error(study, folder, (0.0, 0.5, 1.0))                what errors of the forecast cost
battery_size(study, folder, (0.0, 400.0, 800.0))              what a battery saves a year
"""

from ems.backtest.sweeps.battery import BatteryPoint, battery_size, the_battery
from ems.backtest.sweeps.error import ErrorPoint, error_faults, forecast_error
from ems.backtest.sweeps.hosting import Hosting, Tried, hosting_capacity
from ems.backtest.sweeps.plots import battery_plot, error_plot, hosting_plot

__all__ = [
    "BatteryPoint",
    "ErrorPoint",
    "Hosting",
    "Tried",
    "battery_plot",
    "battery_size",
    "error_faults",
    "error_plot",
    "forecast_error",
    "hosting_capacity",
    "hosting_plot",
    "the_battery",
]
