"""VOLTTRON driver for GEEMS; the platform loads `geems.Geems` by the driver type `geems`."""
