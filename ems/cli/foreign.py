"""Foreign packages that bear a name of ours: refused at start, before one is run by mistake."""

import importlib.util
from pathlib import Path

import ems

OURS = ("ems", "forecasting", "feeders", "models")
"""The top-level packages of the wheel."""


def foreign_packages() -> list[str]:
    """One line for each of our package names that another installation answers to.

    All four stand in one folder; one that is found elsewhere would be imported instead.
    """
    home = Path(str(ems.__file__)).parent.parent
    found = []
    for name in OURS:
        spec = importlib.util.find_spec(name)
        folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
        if folder is None:
            found.append(f"package {name}: missing from {home}; install geems again")
        elif folder.parent.resolve() != home.resolve():
            found.append(
                f"package {name}: {folder} is not part of geems and hides ours in {home}; "
                "uninstall it, or take its folder off PYTHONPATH"
            )
    return found


def owners() -> dict[str, list[str]]:
    """Which installed distributions claim each of our package names (slow: reads all of them)."""
    from importlib.metadata import packages_distributions

    claimed = packages_distributions()
    return {name: sorted(set(claimed.get(name, []))) for name in OURS}
