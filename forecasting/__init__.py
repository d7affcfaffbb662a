"""Forecasts of available power: measured series, methods, calibration, training, evaluation."""
