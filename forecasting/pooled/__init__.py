"""The pooled model: one small LSTM for every PV plant, trained before it is installed."""

from forecasting.pooled.runtime import PooledLstm

__all__ = ["PooledLstm"]
