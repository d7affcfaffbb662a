"""What can go wrong with a feeder."""


class FeederFault(Exception):
    """A feeder does not compile, or lacks what was asked of it.

    The message names the file and the mend.
    """
