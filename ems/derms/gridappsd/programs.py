"""Programs of the old file, with their defaults and events; and the groups of them."""

from collections.abc import Iterator, Mapping

from ems.derms.gridappsd.controls import ControlRead, CurveNames, control, event
from ems.derms.gridappsd.made import Made, Names
from ems.derms.gridappsd.reading import Path, Section, Told
from ems.settings.ieee2030_5 import ProgramTable

_LAST, _MOST = 254, 255
"""The last a program can have here, and what IEEE 2030.5-2018, PrimacyType, ends with."""


class Controls:
    """The controls of the file by description, and which of them somebody names."""

    def __init__(self, root: Section, curves: CurveNames) -> None:
        self._curves = curves
        self._reads = [control(section, curves) for section in root.sections("controls")]
        self._named: set[int] = set()
        self._untimed: list[tuple[Path, ControlRead]] = []
        """Controls that a program lists and that do not say when."""
        self._timed: list[ControlRead] = []

    def named(self, name: object) -> ControlRead | None:
        """A control by description or by index."""
        for i, read in enumerate(self._reads):
            if (name == i and not isinstance(name, bool)) or name == read.description:
                self._named.add(i)
                return read
        return None

    def inline(self, section: Section) -> ControlRead:
        """A control that stands where another is named."""
        return control(section, self._curves)

    def untimed(self, at: Path, read: ControlRead) -> None:
        """A program lists a control that does not say when; `events` may."""
        self._untimed.append((at, read))

    def timed(self, read: ControlRead) -> None:
        """`events` names a control; whether it says when is told there."""
        self._timed.append(read)

    def tell_the_rest(self) -> None:
        """Tell of keys nobody read, and of controls nobody named or that never begin."""
        for at, read in self._untimed:
            if read not in self._timed:
                why = "never begins: it has no interval, and no entry of `events` names it"
                read.section.told.left_out(at, f'"{read.description}" {why}')
        for i, read in enumerate(self._reads):
            if i not in self._named:
                read.section.told.left_out(read.section.at, "no program names it")
            read.section.tell_the_rest(also=("interval", "randomizeStart", "randomizeDuration"))


def programs(root: Section, names: Names, controls: Controls, curves: CurveNames) -> list[Made]:
    """Every program, the default one first."""
    made = []
    default = root.section("default_program")
    for section in [*([default] if default else []), *root.sections("programs")]:
        description = section.text("description") or f"Program {section.at[-1]}"
        if description in names:
            if default is None or section.values != default.values:
                why = f'"{description}" stands twice; the first is taken'
                section.told.left_out(section.at, why)
            continue
        program = Made(section.at)
        program.put("name", names.add(description, section.where("description"), section.told))
        program.put("description", description[:32])
        primacy = section.number("primacy")
        where = section.where("primacy")
        program.put("primacy", None if primacy is None else int(primacy), where)
        program.put("mrid", section.text("mRID", "mrid"), section.where("mRID", "mrid"))
        _default(section, program, controls)
        program.put("control", [*_events(section, controls)] or None)
        _curves(section, program, curves)
        section.take("version")  # it counts changes, and begins anew
        section.tell_the_rest()
        made.append(program)
    _give_way(made, root.told)
    _timed(root, made, controls)
    controls.tell_the_rest()
    return made


def _give_way(made: list[Made], told: Told) -> None:
    """Move primacies to 1…254, in their order: 0 and 255 are the dispatch's own here."""
    usual: int = ProgramTable.model_fields["primacy"].default
    ours: dict[int, int] = {}
    for theirs in sorted({program.get("primacy", usual) for program in made}):
        # What is out of all bounds is told of where the whole is checked.
        if 0 <= theirs <= _MOST:
            least = max(ours.values(), default=0) + 1
            ours[theirs] = min(max(theirs, least), _LAST)
    for program in made:
        theirs = program.get("primacy", usual)
        if ours.get(theirs, theirs) == theirs:
            continue
        at = program.source("primacy")
        program.put("primacy", ours[theirs], at)
        own = f"{theirs} is the dispatch's own"
        why = own if theirs in (0, _MOST) else "so it still goes behind the one before"
        told.changed(at, f"the primacy {theirs} is {ours[theirs]} here: {why}")


def _default(section: Section, program: Made, controls: Controls) -> None:
    inline = section.section("DefaultDERControl")
    value = section.take("default_control")
    at: Path = section.where("default_control")
    if inline is not None:
        read: ControlRead | None = controls.inline(inline)
    elif isinstance(value, Mapping):
        inline = Section(value, at, section.told)
        read = controls.inline(inline)
    else:
        read = None if value is None else controls.named(value)
        if value is not None and read is None:
            section.told.left_out(at, f"no control of the file is called {value!r}")
    if read is None:
        return
    read.settings(program)
    program.put("default", read.base or None, read.section.at)
    if inline is not None:
        inline.take("mRID", "mrid", "description")
        inline.tell_the_rest()


def _events(section: Section, controls: Controls) -> Iterator[Made]:
    value = section.take("controls")
    for i, each in enumerate(value if isinstance(value, list) else []):
        at: Path = (*section.at, "controls", i)
        if isinstance(each, Mapping) and set(each) != {"description"}:
            within = Section(each, at, section.told)
            made = event(controls.inline(within))
            within.tell_the_rest()
        else:
            name = each["description"] if isinstance(each, Mapping) else each
            read = controls.named(name)
            if read is None:
                section.told.left_out(at, f"no control of the file is called {name!r}")
                continue
            if "interval" not in read.section.values:
                controls.untimed(at, read)
                continue
            made = event(read)
        if made is not None:
            yield made


def _curves(section: Section, program: Made, curves: CurveNames) -> None:
    listed = []
    for at, theirs in section.names("curves"):
        ours = curves.named(theirs)
        if ours is None:
            section.told.left_out(at, f'no curve of the file is called "{theirs}"')
        else:
            listed.append(ours)
    program.put("curves", listed or None, section.where("curves"))


def _timed(root: Section, made: list[Made], controls: Controls) -> None:
    """Put the entries of `events` into the programs that list their control."""
    for section in root.sections("events"):
        name = section.take("control")
        read = None if name is None else controls.named(name)
        program = section.text("program")
        if read is None:
            section.told.left_out(section.at, f"no control of the file is called {name!r}")
            continue
        controls.timed(read)
        happens = event(read, section)
        section.tell_the_rest()
        if happens is None:
            continue
        theirs = [p for p in made if _lists(root, p, read, program)]
        if not theirs:
            why = "no program lists its control; add `program` with the name of one"
            section.told.left_out(section.at, why)
        for each in theirs:
            each.setdefault("control", []).append(happens)


def _lists(root: Section, made: Made, read: ControlRead, wanted: str | None) -> bool:
    values = root.values
    for step in made.at:
        values = values[step]  # type: ignore[index]  # a place in the file, list or mapping
    if wanted is not None:
        return values.get("description") == wanted
    listed = values.get("controls") or ()
    names = (each.get("description") if isinstance(each, Mapping) else each for each in listed)
    return read.description in names


def groups(root: Section, names: Names, programs_of: Names) -> dict[str, Made]:
    """The function set assignments of the file, by their names there."""
    made: dict[str, Made] = {}
    for section in root.sections("fsas"):
        description = section.text("description") or f"Group {section.at[-1]}"
        group, listed = Made(section.at), []
        for at, theirs in section.names("programs"):
            ours = programs_of.get(theirs)
            if ours is None:
                section.told.left_out(at, f'no program of the file is called "{theirs}"')
            else:
                listed.append(ours)
        mrid = section.text("mRID", "mrid")
        section.tell_the_rest()
        if not listed or description in made:
            why = "stands twice" if description in made else "has no program"
            section.told.left_out(section.at, f'"{description}" {why}')
            continue
        ours = names.add(description, section.where("description"), section.told)
        group.put("name", ours)
        group.put("programs", listed)
        group.put("description", description[:32])
        group.put("mrid", mrid)
        made[description] = group
    return made
