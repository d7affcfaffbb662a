"""The client's end of IEEE 2030.5: finds its server, follows its controls, reports back."""
