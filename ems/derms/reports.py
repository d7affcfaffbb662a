"""What devices told: documents they put, responses, log events."""

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from ems.clock import Clock
from ems.derms.controls import RETAINED_S
from ems.derms.keeping import Change, Entry, Keeper
from ems.derms.kept import PEN
from ems.derms.readings import Readings
from ems.derms.served import Device, Filed, Responded
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


class Reports(Readings):
    """Documents, responses and log events."""

    def __init__(
        self,
        keeper: Keeper | None = None,
        clock: Clock | None = None,
        *,
        pen: int = PEN,
        retained_s: int = RETAINED_S,
    ) -> None:
        super().__init__(keeper, clock, pen=pen, retained_s=retained_s)
        self._filed: dict[tuple[str, int, str], Filed] = {}
        self._ders: dict[str, set[int]] = {}
        self._responses: deque[Responded] = deque(maxlen=RESPONSES_HELD)
        self._by_subject: dict[str, deque[Responded]] = {}
        self._by_sayer: dict[str, deque[Responded]] = {}
        self._responded = 0
        self._logs: dict[str, deque[tuple[int, str]]] = {}
        self._logged: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        for kept in self.keeper.documents("filed"):
            lfdi, der, kind = kept.key.split("/")
            if int(der) > 1:
                self._ders.setdefault(lfdi, {1}).add(int(der))
            self._filed[lfdi, int(der), kind] = Filed(
                lfdi=lfdi,
                kind=kind,
                der=int(der),
                body=(kept.body or "").encode(),
                received=kept.time,
            )
        recalled = self.now() - _RECALLED_S
        for entry in self.keeper.entries("response", since=recalled, newest=RESPONSES_HELD):
            self._hold_response(Responded(**json.loads(entry.body)))
        for entry in self.keeper.entries("log", since=recalled, newest=_LOGS_RECALLED):
            self._hold_log(entry.owner, int(entry.key), entry.body)

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
        filed = Filed(lfdi=lfdi, kind=kind, der=der, body=body, received=self.now())
        if der and der not in self.ders(lfdi):
            self._ders.setdefault(lfdi, {1}).add(der)
            self.described += 1
        self._filed[lfdi, der, kind] = filed
        key = f"{lfdi}/{der}/{kind}"
        change = Change(kind="filed", key=key, owner=lfdi, body=body.decode(), time=filed.received)
        self._keep(change)
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
            received=self.now(),
        )
        self._hold_response(response)
        body = json.dumps(asdict(response))
        self._keep(
            Entry(kind="response", owner=lfdi, key=subject, body=body, time=response.received)
        )
        self.tell("/rsps/1/r")
        return response

    def responses(self, mrid: str) -> Sequence[Responded]:
        """What devices said of an event, oldest first."""
        return tuple(self._by_subject.get(mrid.upper(), ()))

    def all_responses(self) -> Sequence[Responded]:
        """The last of all, oldest first."""
        return tuple(self._responses)

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
        self._keep(Entry(kind="log", owner=lfdi, key=str(number), body=body, time=self.now()))
        self.described += 1
        device = self.device_by_lfdi(lfdi)
        if device is not None:
            self.tell(f"/edev/{device.number}/lel")
        return number

    def logs(self, lfdi: str) -> Sequence[tuple[int, str]]:
        """The last log events of a device: number and XML, oldest first."""
        return tuple(self._logs.get(lfdi, ()))

    # What stands behind it

    def remove_device(self, name: str) -> Device:
        """See `Registry.remove_device`."""
        device = super().remove_device(name)
        for lfdi, der, kind in [key for key in self._filed if key[0] == device.lfdi]:
            del self._filed[lfdi, der, kind]
            self._keep(self._drop("filed", f"{lfdi}/{der}/{kind}", lfdi))
        self._ders.pop(device.lfdi, None)
        self._logs.pop(device.lfdi, None)
        return device

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


def _shorten(held: dict[str, deque[Responded]], key: str) -> None:
    """Drop the oldest under a key."""
    held[key].popleft()
    if not held[key]:
        del held[key]
