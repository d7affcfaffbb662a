"""Whatever bytes a file holds, a reader answers with a series or with its faults."""

import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecasting.data.formats import Form, load
from forecasting.series import RESOLUTIONS_MIN, SeriesFault, read_rows

HEADS = (
    "time_utc,value",
    "utc_start,p_ac_w",
    "DATE (MM/DD/YYYY),MST,Global Horizontal [W/m^2]",
    "x,Year,DOY,MST,Global Horizontal [W/m^2]",
    "measured_on,ac_power__315",
    " Somewhere\n 40.0 -88.0 230 m version 1",
)
cell = st.sampled_from(
    [
        "",
        "nan",
        "1.5",
        "-9999.9",
        "1e999",
        "many",
        "2026-06-01T00:00Z",
        "2026-06-01 00:15",
        "06/01/2026",
        "00:00",
        "2026",
        "152",
        "0",
        "15",
        "inf",
        "0x1A",
        "1_0",
        "٣",
        '"',
        "9999-12-31",
    ]
) | st.text(max_size=8)
table = st.builds(
    lambda head, rows, mark: head + "\n" + "\n".join(mark.join(r) for r in rows),
    st.sampled_from(HEADS) | st.text(max_size=40),
    st.lists(st.lists(cell, max_size=6), max_size=8),
    st.sampled_from([",", " ", ";", "\t"]),
)


def packed(text: str) -> bytes:
    return gzip.compress(text.encode("utf-8", "surrogatepass"))


def as_parquet(rows: Sequence[tuple[object, object]]) -> bytes:
    kept = pd.DataFrame(rows, columns=["time_utc", "value"])
    buffer = io.BytesIO()
    kept.to_parquet(buffer)
    return buffer.getvalue()


content = (
    st.binary(max_size=200)
    | table.map(lambda t: t.encode("utf-8", "surrogatepass"))
    | table.map(packed)
    | table.map(lambda t: packed(t)[:-7])
    | st.binary(max_size=60).map(lambda b: b"PAR1" + b + b"PAR1")
    | st.lists(st.tuples(st.text(max_size=20), st.floats()), max_size=4).map(as_parquet)
    | st.lists(st.tuples(st.floats(), st.integers(-(2**60), 2**60)), max_size=4).map(as_parquet)
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=content,
    name=st.sampled_from(["a.csv", "a.csv.gz", "a.dat", "a.txt", "a.parquet"]),
    form=st.sampled_from([None, "plain", "midc", "surfrad", "pvdaq"]),
    zone=st.sampled_from([None, "Etc/GMT+7", "America/Denver", "nowhere", "/etc/passwd", ""]),
)
def test_no_file_makes_a_reader_fail_otherwise_than_by_its_faults(
    tmp_path: Path, data: bytes, name: str, form: Form | None, zone: str | None
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    told: tuple[str, ...] = ()
    measured = None
    try:
        measured = load(path, form=form, zone=zone)
    except SeriesFault as fault:
        told = fault.faults
    if measured is None:
        assert told
        assert all(f.startswith((name, tmp_path.name)) for f in told)
        return
    assert measured.minutes in RESOLUTIONS_MIN
    assert measured.rows.index.is_monotonic_increasing
    assert measured.rows.index.is_unique
    assert not np.isinf(measured.rows.to_numpy()).any()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
        min_size=2,
        max_size=40,
    ),
    minutes=st.sampled_from(RESOLUTIONS_MIN),
    order=st.randoms(use_true_random=False),
)
def test_what_is_written_is_read_back_in_order(
    tmp_path: Path, values: list[float | None], minutes: int, order: object
) -> None:
    index = pd.date_range("2026-01-01", periods=len(values), freq=f"{minutes}min", tz="UTC")
    rows = list(zip(index.strftime("%Y-%m-%dT%H:%M:%SZ"), values, strict=True))
    order.shuffle(rows)  # type: ignore[attr-defined]
    path = tmp_path / "a.csv"
    lines = [f"{t},{'' if v is None else repr(v)}" for t, v in rows]
    path.write_text("\n".join(["time_utc,value", *lines]), encoding="utf-8")
    read, found = read_rows(path)
    assert found == minutes
    assert list(read.index) == list(index)
    assert read.to_numpy() == pytest.approx(
        [np.nan if v is None else v for v in values], nan_ok=True, rel=1e-12
    )
