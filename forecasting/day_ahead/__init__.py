"""The day ahead: sun and load of the 96 intervals to come."""
