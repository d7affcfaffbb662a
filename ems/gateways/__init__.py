"""The end of each field link that belongs to the EMS."""
