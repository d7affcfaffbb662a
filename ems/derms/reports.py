"""What devices told: documents they put, responses, log events."""

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

from ems.derms.keeping import Change, Entry
from ems.derms.kept import Kept
from ems.derms.moves import Moves
from ems.derms.registry import Registry
from ems.derms.served import Filed, Responded
from ems.protocols.ieee2030_5 import codec, sep

FILED: Mapping[str, type[sep.Resource]] = {
    "capability": sep.DERCapability,
    "settings": sep.DERSettings,
    "status": sep.DERStatus,
    "availability": sep.DERAvailability,
    "information": sep.DeviceInformation,
    "device_status": sep.DeviceStatus,
    "configuration": sep.Configuration,
    "power_status": sep.PowerStatus,
}
"""Documents that a device puts, and what each is."""
RESPONSES_HELD = 20_000
"""Responses in memory; the keeper has more."""
LOGS_HELD = 64
"""Log events in memory, per device; the keeper has more."""
_LOGS_RECALLED = 20_000
"""Log events of all devices that are read at a start: some tenths of a second."""
_ONE = frozenset({1})
_DAY_S = 86_400
_RECALLED_S = 7 * _DAY_S
"""Responses and log events of so long are in memory again after a start [s]."""


class Reports:
    """Documents, responses and log events."""

    def __init__(self, kept: Kept, registry: Registry, moves: Moves) -> None:
        """Take up what was kept.

        Args:
            kept: what all parts share.
            registry: of the devices.
            moves: of devices to new certificates.
        """
        self._kept, self._registry, self._moves = kept, registry, moves
        self._filed: dict[tuple[str, int, str], Filed] = {}
        self._ders: dict[str, set[int]] = {}
        self._responses: deque[Responded] = deque(maxlen=RESPONSES_HELD)
        self._by_subject: dict[str, deque[Responded]] = {}
        self._by_sayer: dict[str, deque[Responded]] = {}
        self._responded = 0
        self._logs: dict[str, deque[tuple[int, str]]] = {}
        self._logged: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        for document in self._kept.keeper.documents("filed"):
            lfdi, der, kind = document.key.split("/")
            if int(der) > 1:
                self._ders.setdefault(lfdi, {1}).add(int(der))
            self._filed[lfdi, int(der), kind] = Filed(
                lfdi=lfdi,
                kind=kind,
                der=int(der),
                body=(document.body or "").encode(),
                received=document.time,
            )
        recalled = self._kept.now() - _RECALLED_S
        for entry in self._kept.keeper.entries("response", since=recalled, newest=RESPONSES_HELD):
            response = Responded(**json.loads(entry.body))
            lfdi = self._moves.holder(response.lfdi, entry.time)
            self._hold_response(replace(response, lfdi=lfdi))
        for entry in self._kept.keeper.entries("log", since=recalled, newest=_LOGS_RECALLED):
            lfdi = self._moves.holder(entry.owner, entry.time)
            self._hold_log(lfdi, int(entry.key), entry.body)

    # Who is there

    def seen(self, lfdi: str, now: int) -> None:
        """It asked just now."""
        self._seen[lfdi] = now

    def last_seen(self, lfdi: str) -> int | None:
        """When it last asked for anything [s]; None: not since the start."""
        return self._seen.get(lfdi)

    # Documents

    def file(self, lfdi: str, kind: str, body: bytes, der: int = 0) -> Filed:
        """Take a document that a device put, whole and checked.

        Args:
            lfdi: whose it is.
            kind: a key of `FILED`.
            body: XML, as it shall be served.
            der: number of the DER; 0: it is of the device itself.
        """
        filed = Filed(lfdi=lfdi, kind=kind, der=der, body=body, received=self._kept.now())
        if der and der not in self.ders(lfdi):
            self._ders.setdefault(lfdi, {1}).add(der)
            self._kept.described += 1
        self._filed[lfdi, der, kind] = filed
        self._kept.keep(_kept(filed))
        return filed

    def document(self, lfdi: str, kind: str, der: int = 0) -> Filed | None:
        """A document as it is served."""
        return self._filed.get((lfdi, der, kind))

    def filed(self, lfdi: str, kind: str, der_number: int = 1) -> tuple[sep.Resource, int] | None:
        """What a device put, read, and when it came [s].

        Args:
            lfdi: whose.
            kind: a key of `FILED`.
            der_number: of which DER; documents of the device itself have none.
        """
        found = self.document(lfdi, kind, der_number) or self.document(lfdi, kind)
        return None if found is None else (codec.decode(found.body, FILED[kind]), found.received)

    def ders(self, lfdi: str) -> tuple[int, ...]:
        """Numbers of the DERs of a device: 1, and those it put something for."""
        return tuple(sorted(self._ders.get(lfdi, _ONE)))

    # Responses

    def respond(self, *, subject: str, lfdi: str, status: int, time: int | None) -> Responded:
        """Take a Response."""
        response = Responded(
            number=self._responded + 1,
            subject=subject,
            lfdi=lfdi,
            status=status,
            time=time,
            received=self._kept.now(),
        )
        self._hold_response(response)
        body = json.dumps(asdict(response))
        self._kept.keep(
            Entry(kind="response", owner=lfdi, key=subject, body=body, time=response.received)
        )
        self._kept.tell("/rsps/1/r")
        return response

    def responses(self, mrid: str) -> Sequence[Responded]:
        """What devices said of an event, oldest first."""
        return tuple(self._by_subject.get(mrid.upper(), ()))

    def all_responses(self) -> Sequence[Responded]:
        """The last of all, oldest first."""
        return tuple(self._responses)

    def last_response(self) -> Responded | None:
        """The one that came last."""
        return self._responses[-1] if self._responses else None

    def responses_of(self, lfdis: Iterable[str] | None) -> Sequence[Responded]:
        """The last that some devices said, device by device, oldest first; None: all."""
        if lfdis is None:
            return self.all_responses()
        return tuple(said for lfdi in lfdis for said in self._by_sayer.get(lfdi, ()))

    # Log events

    def log(self, lfdi: str, body: str) -> int:
        """Take a LogEvent, as XML; returns its number at /edev/{device}/lel/{number}."""
        number = 1 + self._logged.get(lfdi, 0)
        self._hold_log(lfdi, number, body)
        self._kept.keep(
            Entry(kind="log", owner=lfdi, key=str(number), body=body, time=self._kept.now())
        )
        self._kept.described += 1
        device = self._registry.device_by_lfdi(lfdi)
        if device is not None:
            self._kept.tell(f"/edev/{device.number}/lel")
        return number

    def logs(self, lfdi: str) -> Sequence[tuple[int, str]]:
        """The last log events of a device: number and XML, oldest first."""
        return tuple(self._logs.get(lfdi, ()))

    def forget(self, lfdi: str) -> None:
        """Drop what a device put; what it said happened stays kept."""
        for key in [key for key in self._filed if key[0] == lfdi]:
            del self._filed[key]
            _, der, kind = key
            self._kept.keep(self._kept.drop("filed", f"{lfdi}/{der}/{kind}", lfdi))
        self._ders.pop(lfdi, None)
        self._logs.pop(lfdi, None)

    def move(self, old: str, new: str) -> None:
        """A device has a new certificate: what it told stays its own."""
        for key in [key for key in self._filed if key[0] == old]:
            _, der, kind = key
            filed = self._filed[new, der, kind] = replace(self._filed.pop(key), lfdi=new)
            dropped = self._kept.drop("filed", f"{old}/{der}/{kind}", old)
            self._kept.keep(dropped, _kept(filed))
        if old in self._ders:
            self._ders.setdefault(new, {1}).update(self._ders.pop(old))
        said = [replace(r, lfdi=new) if r.lfdi == old else r for r in self._responses]
        for held in (self._responses, self._by_subject, self._by_sayer):
            held.clear()
        for response in said:
            self._hold_response(response)
        for number, body in self._logs.pop(old, ()):
            self._hold_log(new, number, body)
        self._logged[new] = max(self._logged.pop(old, 0), self._logged.get(new, 0))
        if old in self._seen:
            self._seen[new] = self._seen.pop(old)

    # What stands behind it

    def _hold_response(self, response: Responded) -> None:
        if len(self._responses) == self._responses.maxlen:
            # The oldest of all is the oldest of its event and of its device.
            oldest = self._responses[0]
            _shorten(self._by_subject, oldest.subject)
            _shorten(self._by_sayer, oldest.lfdi)
        self._responses.append(response)
        self._by_subject.setdefault(response.subject, deque()).append(response)
        self._by_sayer.setdefault(response.lfdi, deque()).append(response)
        self._responded = max(self._responded, response.number)

    def _hold_log(self, lfdi: str, number: int, body: str) -> None:
        self._logged[lfdi] = max(number, self._logged.get(lfdi, 0))
        self._logs.setdefault(lfdi, deque(maxlen=LOGS_HELD)).append((number, body))


def _kept(filed: Filed) -> Change:
    """A document as the keeper has it."""
    return Change(
        kind="filed",
        key=f"{filed.lfdi}/{filed.der}/{filed.kind}",
        owner=filed.lfdi,
        body=filed.body.decode(),
        time=filed.received,
    )


def _shorten(held: dict[str, deque[Responded]], key: str) -> None:
    """Drop the oldest under a key."""
    held[key].popleft()
    if not held[key]:
        del held[key]
