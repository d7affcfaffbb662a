"""All that can be wrong with a site: its file, its feeder, and what holds when GEEMS is silent."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path

from ems.cli.tls_files import tls_faults
from ems.constrain import check_reversion, unproved
from ems.errors import BadInput, Fault
from ems.settings import Checked, Settings, check, is_path
from ems.settings.doubts import doubts
from feeders.engine import Feeder
from feeders.errors import FeederFault

_SQLITE = b"SQLite format 3\0"
"""https://www.sqlite.org/fileformat2.html#magic_header_string"""


def all_faults(path: Path) -> list[Fault]:
    """Everything wrong with a site file; empty when it may be run."""
    try:
        checked = check(path)
    except BadInput as fault:
        return list(fault.faults)
    faults = list(checked.faults)
    if checked.store is not None:
        faults += _store_faults(*checked.store)
    if checked.feeder_source is not None:
        faults += _feeder_faults(path, checked)
    if checked.settings is not None:
        faults += tls_faults(path.name, checked.settings)
    if checked.settings is not None and not faults:
        faults += _reversion_faults(path, checked.settings)
    return faults


def checked_settings(path: Path) -> Settings:
    """Settings of a site that may be run.

    Raises:
        BadInput: Anything is wrong with the file, the feeder or the reversion values.
    """
    faults = all_faults(path)
    if faults:
        raise BadInput(faults)
    settings = check(path).settings
    assert settings is not None  # noqa: S101 - it has no faults
    return settings


def _store_faults(place: str, file: Path) -> Iterator[Fault]:
    """The database can lie where it is said to; what it holds is for the store to judge."""
    if not file.parent.is_dir():
        problem = f"the folder {file.parent} does not exist; create it first"
        yield Fault(place=place, problem=problem)
    elif file.is_dir():
        yield Fault(place=place, problem=f"{file} is a folder; give the path of a file in it")
    elif file.exists() and not _may_be_database(file):
        problem = f"{file} is no SQLite database; give another path, it is left as it is"
        yield Fault(place=place, problem=problem)


def remarks(path: Path) -> list[str]:
    """What is no fault of a sound site, and good to know.

    What is hardly meant, what holds on, what is not watched.
    """
    settings = checked_settings(path)
    found = [f"{path.name}: {doubt}" for doubt in doubts(settings)]
    found += [
        f"{der.name}: no register of its map holds a reversion timer, so it keeps its last command "
        "when GEEMS dies"
        for der in settings.ders
        if der.device.holds_on
    ]
    holding = [der.name for der in settings.ders if der.device.holds_on]
    site = settings.to_site()
    with closing(Feeder.open(settings.feeder_source(), site.placements)) as feeder:
        if told := unproved(site, feeder, holding):
            found.append(told)
        if feeder.floating:
            found.append(
                f"nothing ties {_some(feeder.floating)} to ground: they have no voltage of their "
                "own, and no limit is held against them"
            )
        if feeder.passed_over:
            found.append(f"not executed, for they only report: {_some(feeder.passed_over)}")
    return found


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(str(name) for name in names[:6])
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _may_be_database(file: Path) -> bool:
    """True for a database, and for an empty file: that becomes one."""
    if not file.is_file():
        return False
    try:
        with file.open("rb") as opened:
            return opened.read(len(_SQLITE)) in (b"", _SQLITE)
    except OSError:
        return True  # the store says what hinders it


def _feeder_faults(path: Path, checked: Checked) -> Iterator[Fault]:
    """The feeder does not compile, or lacks a bus."""
    place = f"{path.name}: feeder.source"
    source = str(checked.feeder_source)
    if is_path(source) and not Path(source).is_file():
        yield Fault(place=place, problem=f"no such file: {source}")
        return
    try:
        feeder = Feeder.open(source)
    except FeederFault as fault:
        yield Fault(place=place, problem=str(fault))
        return
    known = {bus.lower(): bus for bus in feeder.buses}
    feeder.close()
    missing = False
    for key, bus in checked.buses.items():
        name = bus.partition(".")[0]
        if name.lower() not in known:
            missing = True
            yield Fault(place=key, problem=_no_bus(name, known))
    if checked.settings is not None and not missing:
        try:
            Feeder.open(source, checked.settings.to_site().placements).close()
        except FeederFault as fault:
            yield Fault(place=place, problem=str(fault))


def _no_bus(name: str, known: dict[str, str]) -> str:
    close = get_close_matches(name.lower(), known, n=1)
    if close:
        return f'the feeder has no bus "{name}"; did you mean "{known[close[0]]}"?'
    some = ", ".join(list(known.values())[:20])
    return f'the feeder has no bus "{name}"; it has {some}' + (" …" if len(known) > 20 else "")


def _reversion_faults(path: Path, settings: Settings) -> list[Fault]:
    """What all devices fall back to TOGETHER, at lowest load and clear sky, must be safe."""
    site = settings.to_site()
    with closing(Feeder.open(settings.feeder_source(), site.placements)) as feeder:
        try:
            check_reversion(site, feeder, path.name)
        except BadInput as fault:
            return list(fault.faults)
    return []
