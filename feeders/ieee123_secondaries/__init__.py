"""IEEE 123 with secondaries: the data, and the rule by which they were made (`customers`)."""
