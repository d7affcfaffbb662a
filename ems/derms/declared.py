"""What a file declares, laid over what the database kept.

The file wins in what it names: a device, program, group or curve of its name is made or changed to
what it says. What it does not name stays as it was kept, so what was administered is not lost; to
take something away, administer that. Events are published once: a restart finds their mRID.
"""

import hashlib
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from ems.derms import elements, worded
from ems.derms.admin import views
from ems.derms.audit import FILE
from ems.derms.board import Board
from ems.derms.keeping import Change
from ems.errors import BadInput, Fault
from ems.protocols.ieee2030_5 import codec, identity, sep
from ems.settings.ieee2030_5 import (
    ControlBaseTable,
    CurveTable,
    EndDeviceTable,
    EventTable,
    GroupTable,
    ProgramTable,
)
from ems.settings.ieee2030_5.file import ServerFile

log = logging.getLogger(__name__)

PUBLISHED = "declared"
"""Kind of the documents that note which events of a file were published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Who a file lets connect."""

    lfdis: Mapping[str, str]
    """LFDI by name of the device."""
    fingerprints: Mapping[str, str]
    """LFDI by that of the certificate, where `lfdi_mode = "file"` makes them differ."""


def known_devices(file: ServerFile) -> Known:
    """Who the devices of a file are.

    Raises:
        BadInput: certificates that cannot be read, or are not those of the LFDIs beside them.
    """
    lfdis: dict[str, str] = {}
    fingerprints: dict[str, str] = {}
    faults: list[Fault] = []
    for i, device in enumerate(file.table.device):
        place = f"{file.file.name}: ieee2030_5.device[{i}]"
        if device.cert_file is None:
            lfdis[device.name] = device.lfdi or ""
            continue
        try:
            by_print, by_file = _lfdis_of(file, device.cert_file)
        except OSError as fault:
            problem = f"{file.beside(device.cert_file)} cannot be read: {fault.strerror}"
            faults.append(Fault(place=f"{place}.cert_file", problem=problem))
            continue
        except ValueError:
            problem = f"{file.beside(device.cert_file)} holds no certificate in PEM form"
            faults.append(Fault(place=f"{place}.cert_file", problem=problem))
            continue
        lfdi = by_file if file.table.lfdi_mode == "file" else by_print
        if device.lfdi is not None and device.lfdi != lfdi:
            problem = f"{device.lfdi} is not that of cert_file, which is {lfdi}; leave one out"
            faults.append(Fault(place=f"{place}.lfdi", problem=problem))
        lfdis[device.name] = lfdi
        if by_print != lfdi:
            fingerprints[by_print] = lfdi
    faults += _twice(file, lfdis)
    if faults:
        raise BadInput(faults)
    return Known(lfdis=lfdis, fingerprints=fingerprints)


def _lfdis_of(file: ServerFile, name: str) -> tuple[str, str]:
    """LFDI by the certificate's fingerprint, and by the octets of its file."""
    octets = file.beside(name).read_bytes()
    text = octets.decode("ascii", errors="replace")
    begin = text.find(ssl.PEM_HEADER)
    end = text.find(ssl.PEM_FOOTER, begin)
    if begin < 0 or end < 0:
        raise ValueError
    der = ssl.PEM_cert_to_DER_cert(text[begin : end + len(ssl.PEM_FOOTER)])
    of_file = hashlib.sha256(octets).hexdigest()[: identity.LFDI_DIGITS].upper()
    return identity.lfdi_of(der), of_file


def _twice(file: ServerFile, lfdis: Mapping[str, str]) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for i, device in enumerate(file.table.device):
        lfdi = lfdis.get(device.name)
        if lfdi is None:
            continue
        if lfdi in seen:
            place = f"{file.file.name}: ieee2030_5.device[{i}]"
            yield Fault(place=place, problem=f"has the LFDI of {seen[lfdi]}; each has its own")
        seen.setdefault(lfdi, device.name)


def declare(file: ServerFile, known: Known, board: Board) -> None:
    """Lay a file over a board that has taken up what was kept.

    Raises:
        BadInput: what the file names cannot stand beside what was kept.
        Conflict: likewise: a name, an LFDI or an mRID is another's.
    """
    table = file.table
    named = {"poll_rate_s": "poll_s", "post_rate_s": "post_s"}
    rates = {
        argument: getattr(table, key)
        for key, argument in named.items()
        if key in table.model_fields_set or not _any_rates(board)
    }
    audited = _Audited(board, file.file.name)
    if rates:
        audited("rates", lambda: board.set_rates(**rates), lambda: asdict(board.rates))
    for curve in table.curve:
        _curve(board, curve, table.pen, audited)
    for program in table.program:
        _program(board, program, table.pen, audited)
    for group in table.group:
        _group(board, group, table.pen, audited)
    if table.mode == "enddevices_create_on_start":
        governed = {p.name for p in table.program} | {g.name for g in table.group}
        names = {device.name for device in board.devices()}
        for device in table.device:
            if device.registered:
                audited(
                    f"device {device.name}",
                    partial(_device, board, device, known, governed, names),
                    partial(_shown_device, board, device.name),
                )
                _ders(board, device, known.lfdis[device.name], audited)


class _Audited:
    """Changes in the name of a file; what stands as the file says is none."""

    def __init__(self, board: Board, file: str) -> None:
        self._board = board
        self._file = file

    def __call__(self, what: str, act: Callable[[], object], shown: Callable[[], Any]) -> None:
        self._board.audit.made(
            FILE, f"{self._file}: {what}", self._board.now(), act, shown, always=False
        )


def _any_rates(board: Board) -> bool:
    return any(True for _ in board.keeper.documents("rates"))


def _curve(board: Board, table: CurveTable, pen: int, audited: _Audited) -> None:
    wanted = worded.curve_of(table)

    def declared() -> None:
        if any(table.name == there.name for there in board.curves()):
            board.change_curve(table.name, **wanted)
        else:
            mrid = table.mrid or identity.mrid("curve", table.name, pen=pen)
            board.add_curve(table.name, **wanted, mrid=mrid)

    audited(f"curve {table.name}", declared, lambda: views.curve(board.curve(table.name)))


def _group(board: Board, table: GroupTable, pen: int, audited: _Audited) -> None:
    wanted: dict[str, Any] = {
        "programs": table.programs,
        "description": table.description or table.name,
        "mrid": table.mrid or identity.mrid("group", table.name, pen=pen),
    }

    def declared() -> None:
        if any(table.name == there.name for there in board.groups()):
            board.change_group(table.name, **wanted)
        else:
            board.add_group(table.name, **wanted)

    audited(f"group {table.name}", declared, lambda: views.group(board.group(table.name)))


def _program(board: Board, table: ProgramTable, pen: int, audited: _Audited) -> None:
    audited(
        f"program {table.name}",
        lambda: _program_itself(board, table, pen),
        lambda: views.program(board, board.program(table.name)),
    )
    published = {note.key for note in board.keeper.documents(PUBLISHED)}
    for event in table.control:
        mrid = event.mrid or _mrid_of(table, event, pen)
        if mrid not in published:
            audited(
                f"program {table.name}: control {mrid}",
                partial(_publish, board, table.name, event, mrid),
                partial(_shown_control, board, mrid),
            )


def _program_itself(board: Board, table: ProgramTable, pen: int) -> None:
    wanted: dict[str, Any] = {
        "primacy": table.primacy,
        "description": table.description or table.name,
    }
    there = next((each for each in board.programs() if each.name == table.name), None)
    if there is not None:
        # Those that controls ask for stand in the list, too, and stay.
        more_curves = [name for name in table.curves if name not in there.curves]
        board.change_program(table.name, **wanted, curves=[*there.curves, *more_curves])
    else:
        mrid = table.mrid or identity.mrid("program", table.name, pen=pen)
        board.add_program(table.name, **wanted, mrid=mrid, curves=table.curves)
    settings = worded.default_settings(
        table.set_grad_w_pct_per_s, table.set_soft_grad_w_pct_per_s, table.enter_service
    )
    if table.default is not None or settings:
        asked = table.default or ControlBaseTable()
        base = worded.base_of(asked, lambda name: board.curve(name).href)
        mrid = identity.mrid("default", table.name, pen=pen)
        more: dict[str, Any] = {"mrid": mrid, **settings}
        board.set_default(table.name, base, **more)


def _mrid_of(program: ProgramTable, event: EventTable, pen: int) -> str:
    return identity.mrid("control", program.name, event.model_dump_json(), pen=pen)


def _publish(board: Board, program: str, event: EventTable, mrid: str) -> None:
    now = board.now()
    when = worded.event_of(event, now)
    if when["start"] + when["duration"] <= now:
        log.warning("program %s: control %s has ended and is not published", program, mrid)
        return
    base = worded.base_of(event.base, lambda name: board.curve(name).href)
    board.publish(program, base=base, mrid=mrid, **when)
    board.keeper.keep(Change(kind=PUBLISHED, key=mrid, owner="", body=program, time=now))


def arguments_of(table: EndDeviceTable, known: Known) -> dict[str, Any]:
    """A device as `Board.add_device` takes it, but for name and LFDI."""
    return {
        "pin": table.pin,
        "category": worded.category_of(table.category),
        "aggregator": None if table.aggregator is None else known.lfdis[table.aggregator],
        "groups": list(table.groups),
        "enabled": table.enabled,
        "poll_rate_s": table.poll_rate_s,
        "post_rate_s": table.post_rate_s,
    }


def _device(
    board: Board, table: EndDeviceTable, known: Known, governed: set[str], names: set[str]
) -> None:
    lfdi = known.lfdis[table.name]
    wanted = arguments_of(table, known)
    there = board.device_by_lfdi(lfdi)
    if there is not None:
        # Programs that the file does not know were assigned by an administrator, or the dispatch.
        wanted["groups"] += [name for name in there.groups if name not in governed]
        if there.name != table.name:
            raise BadInput.at(
                f"ieee2030_5.device: {table.name}",
                f'its certificate is that of "{there.name}" in the database, and names stay: write '
                "that name, or remove the device there first",
            )
        board.change_device(there.name, **wanted)
    elif table.name in names:
        board.change_device(table.name, **wanted, lfdi=lfdi)
    else:
        board.add_device(table.name, lfdi=lfdi, **wanted)


def _ders(board: Board, table: EndDeviceTable, lfdi: str, audited: _Audited) -> None:
    """Documents of its DERs, until it says so itself: what a device put is never overwritten."""
    number = board.device(table.name).number
    for k, der in enumerate(table.der, start=1):
        made: dict[str, tuple[str, Callable[[], sep.Resource]]] = {
            "capability": ("dercap", partial(worded.capability_of, der)),
            "settings": ("derg", partial(worded.settings_of, der, board.now())),
        }
        for kind, (leaf, make) in made.items():
            if board.document(lfdi, kind, k) is not None:
                continue
            faults = elements.faults_of(f"device {table.name!r}: der[{k - 1}]", make)
            if faults:
                raise BadInput(faults)
            resource = make()
            resource.href = f"/edev/{number}/der/{k}/{leaf}"
            audited(
                f"device {table.name}: der {k}: {kind}",
                partial(board.file, lfdi, kind, codec.encode(resource), k),
                partial(_shown_document, board, lfdi, kind, k),
            )


def _shown_control(board: Board, mrid: str) -> dict[str, Any]:
    return views.control(board, board.control(mrid))


def _shown_device(board: Board, name: str) -> dict[str, Any]:
    return views.device(board, board.device(name))


def _shown_document(board: Board, lfdi: str, kind: str, der: int) -> str | None:
    held = board.document(lfdi, kind, der)
    return None if held is None else held.body.decode()
