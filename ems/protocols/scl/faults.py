"""Faults of a file, collected with their lines."""

from lxml import etree

from ems.errors import BadInput, Fault

FAULTS_SHOWN = 100
"""A file that is wrong throughout is told by its first faults."""


class Faults:
    """What is wrong with one file, as it is found."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._found: list[tuple[int, str]] = []

    def at(self, element: etree._Element, problem: str) -> None:
        """Something is wrong with an element."""
        self.line(element.sourceline or 0, problem)

    def line(self, line: int, problem: str) -> None:
        """Something is wrong on a line; 0 for the whole file."""
        self._found.append((line, problem))

    def raise_if_any(self) -> None:
        """End here where anything is wrong.

        Raises:
            BadInput: all that was found, in the order of the lines.
        """
        if not self._found:
            return
        told = sorted(set(self._found))
        faults = [
            Fault(place=f"{self._place}: line {line}" if line else self._place, problem=problem)
            for line, problem in told[:FAULTS_SHOWN]
        ]
        if len(told) > FAULTS_SHOWN:
            more = len(told) - FAULTS_SHOWN
            faults.append(Fault(place=self._place, problem=f"{more} more faults like these"))
        raise BadInput(faults)
