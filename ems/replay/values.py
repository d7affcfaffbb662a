"""What is handed around in a replay."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that shall be otherwise."""

    key: str
    value: Any

    @property
    def place(self) -> str:
        """How faults name it."""
        return f"--set {self.key}"

    def __str__(self) -> str:
        return f"{self.key}={self.value}"
