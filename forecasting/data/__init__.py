"""Measured series: their formats, what in them is no available power, where a plant faces."""
