"""What a forecast learns of its plant while it runs: shift, spread, and when to step aside."""
