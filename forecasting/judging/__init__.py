"""How good a forecast is, and whether another is better."""
