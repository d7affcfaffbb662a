"""A control block and its frames, for tests of GOOSE."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ems.protocols.goose import (
    GOOD,
    Boolean,
    ControlBlock,
    Data,
    Entry,
    Float32,
    Frame,
    GooseMessage,
    Int32,
    Kind,
    Structure,
    Timestamp,
    UtcTime,
)

START = datetime(2024, 6, 3, 20, tzinfo=UTC)
HERE = bytes.fromhex("020000000001")
ELSEWHERE = bytes.fromhex("020000000002")
CONTROL = ControlBlock(
    gocb_ref="PV1LD0/LLN0$GO$gcb1",
    dat_set="PV1LD0/LLN0$measured",
    go_id="pv1 measured",
    appid=0x0001,
    dst_mac=bytes.fromhex("010ccd010001"),
    vlan_id=5,
    vlan_priority=4,
    conf_rev=7,
    min_time_ms=4,
    max_time_ms=1000,
    entries=(
        Entry(reference="TotW.mag.f [MX]", shape=Kind.FLOAT32),
        Entry(reference="TotW.q [MX]", shape=Kind.QUALITY),
        Entry(reference="TotW.t [MX]", shape=Kind.TIMESTAMP),
        Entry(reference="Beh.stVal [ST]", shape=Kind.INT32),
        Entry(reference="Loc [ST]", shape=(Kind.BOOLEAN, Kind.QUALITY)),
    ),
)


def values(p_kw: float = 100.0, *, local: bool = False) -> tuple[Data, ...]:
    """A data set of `CONTROL`."""
    return (
        Float32(p_kw),
        GOOD,
        Timestamp(UtcTime.of(START)),
        Int32(1),
        Structure((Boolean(local), GOOD)),
    )


def message(
    st_num: int = 1, sq_num: int = 0, *, t_s: float | None = None, p_kw: float | None = None
) -> GooseMessage:
    """What `CONTROL` says in a state, which fixes time and values unless they are given."""
    since_s = float(st_num) if t_s is None else t_s
    return GooseMessage(
        gocb_ref=CONTROL.gocb_ref,
        time_allowed_to_live_ms=2000,
        dat_set=CONTROL.dat_set,
        go_id=CONTROL.go_id,
        t=UtcTime.of(START + timedelta(seconds=since_s)),
        st_num=st_num,
        sq_num=sq_num,
        conf_rev=CONTROL.conf_rev,
        all_data=values(float(st_num) if p_kw is None else p_kw),
    )


def frame(
    st_num: int = 1,
    sq_num: int = 0,
    *,
    src: bytes = HERE,
    t_s: float | None = None,
    p_kw: float | None = None,
) -> Frame:
    """A frame of `CONTROL` as `message`."""
    return Frame(
        dst=CONTROL.dst_mac,
        src=src,
        vlan_id=5,
        vlan_priority=4,
        appid=CONTROL.appid,
        message=message(st_num, sq_num, t_s=t_s, p_kw=p_kw),
    )


def saying(found: Frame, **changes: object) -> Frame:
    """A frame with another message."""
    return replace(found, message=replace(found.message, **changes))  # type: ignore[arg-type]
