"""The EMS's end of IEEE 2030.5: the dispatch as DERControls, and a utility that is followed."""
