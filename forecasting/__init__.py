"""Forecasts of available power: features, models, baselines, training, evaluation."""
