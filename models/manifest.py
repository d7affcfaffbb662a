"""What `manifest.json` must say about an artefact.

id               name of its folder
kind             what it forecasts, one of `KINDS`
version          ascending: a whole number, or a date such as "2026-11-21"
file             the model, beside the manifest; `model.tflite` when not given
sha256           of that file
files            {name: SHA-256} of further files beside it, checked as well
training_window  {site: {first, last, and for the judge: sha256, latitude_deg, longitude_deg}};
                 days, UTC, that training or its early stop saw
metrics          {site: {name: number}}, on data that training never saw; one more level
                 when they differ by resolution: {site: {"5min": {name: number}}}
versions         {library: version} it was trained with
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import PurePath
from typing import Any

KINDS = ("paper_lstm", "pv_pooled", "pv_day_ahead")
"""Published reference; PV of the next interval, pooled over sites; PV of the day ahead."""

DATA = (".tflite", ".json")
"""Files a model may be in: both hold numbers, neither can run code."""

RUNS_CODE = (".keras", ".h5", ".hdf5", ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".pb", ".npy")
"""Files that may run code, or load objects, when they are opened: never opened here."""

FIRST_VERSION = 1

_ID = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}(\.\d{1,4})?", re.ASCII)

# No day, share or percentage is larger; keeps out 1e999, which JSON reads as infinity.
_LARGEST = 1e12


def is_artefact_id(name: str) -> bool:
    """Whether a name may be the id of an artefact; in particular, it is no path."""
    return _ID.fullmatch(name) is not None


def is_sha256(value: Any) -> bool:
    """Whether a value is a SHA-256 as written here."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def parse(text: bytes) -> Any:
    """JSON without NaN and infinity.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError as fault:
        raise ValueError("nested too deeply") from fault


def version_order(version: int | str) -> tuple[int, ...]:
    """Key that sorts versions: numbers, then dates; a date may carry the number of the day."""
    if isinstance(version, int):
        return (version,)
    return tuple(int(part) for part in re.split(r"[-.]", version))


def problems(manifest: Any, artefact_id: str, model: str) -> list[str]:
    """Everything that is wrong with a manifest, one phrase each.

    Args:
        manifest: What stood in the file.
        artefact_id: Name of the folder.
        model: File of the model when the manifest names none.
    """
    if not isinstance(manifest, dict):
        return ["no table of keys"]
    return [
        *_identity(manifest, artefact_id),
        *_files(manifest, model),
        *_window(manifest.get("training_window", {})),
        *_metrics(manifest.get("metrics", {})),
        *_versions(manifest.get("versions", {})),
    ]


def _identity(manifest: Mapping[str, Any], artefact_id: str) -> Iterator[str]:
    if manifest.get("id") != artefact_id:
        yield f"'id' {manifest.get('id')!r}, but its folder is {artefact_id!r}"
    # Before there were kinds there was one.
    kind = manifest.get("kind", KINDS[0])
    if kind not in KINDS:
        yield f"'kind' {kind!r}, none of {', '.join(KINDS)}"
    version = manifest.get("version", FIRST_VERSION)
    if not _is_version(version):
        yield f"'version' {version!r}, no whole number from 1 and no date as \"2026-11-21\""


def _is_version(version: Any) -> bool:
    if isinstance(version, bool) or not isinstance(version, int | str):
        return False
    if isinstance(version, int):
        return version >= FIRST_VERSION
    return _DATED.fullmatch(version) is not None and _day(version[:10]) is not None


def _files(manifest: Mapping[str, Any], model: str) -> Iterator[str]:
    file = manifest.get("file", model)
    if not is_plain_name(file):
        yield f"'file' {file!r}, which is no plain file name beside the manifest"
    elif PurePath(file).suffix.lower() in RUNS_CODE:
        yield f"'file' {file!r}: such files can run code and are never loaded"
    elif PurePath(file).suffix.lower() not in DATA:
        yield f"'file' {file!r}, which ends in none of {', '.join(DATA)}"
    if not is_sha256(manifest.get("sha256")):
        yield "no key 'sha256' with 64 hexadecimal digits"
    further = manifest.get("files", {})
    if not isinstance(further, dict):
        yield "'files' that is no table of names and checksums"
        return
    for name, checksum in further.items():
        if not is_plain_name(name):
            yield f"'files' with {name!r}, which is no plain file name beside the manifest"
        elif not is_sha256(checksum):
            yield f"'files' without the 64 hexadecimal digits of {name!r}"


def is_plain_name(name: Any) -> bool:
    """Whether a value names a file of the same folder: no path, not hidden, no manifest."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None and name != "manifest.json"


def _window(window: Any) -> Iterator[str]:
    if not isinstance(window, dict):
        yield "'training_window' that is no table of sites"
        return
    for site, span in window.items():
        known = span if isinstance(span, dict) else {}
        first, last = _day(known.get("first")), _day(known.get("last"))
        if first is None or last is None or first > last:
            yield f"'training_window' of {site!r} without 'first' and 'last', two days in order"
        if "sha256" in known and not is_sha256(known["sha256"]):
            yield f"'training_window' of {site!r} with a 'sha256' that is none"
        for key, most in (("latitude_deg", 90), ("longitude_deg", 180)):
            if key in known and not (_is_number(known[key]) and abs(known[key]) <= most):
                yield f"'training_window' of {site!r} with {key} {known[key]!r}"


def _metrics(metrics: Any) -> Iterator[str]:
    if not isinstance(metrics, dict):
        yield "'metrics' that is no table of sites"
        return
    for site, table in metrics.items():
        values = list(table.values()) if isinstance(table, dict) else [None]
        flat = [n for v in values for n in (v.values() if isinstance(v, dict) else [v])]
        if not all(_is_number(number) for number in flat):
            yield f"'metrics' of {site!r} that are not numbers by name"


def _versions(versions: Any) -> Iterator[str]:
    if not isinstance(versions, dict) or not all(isinstance(v, str) for v in versions.values()):
        yield "'versions' that is no table of libraries and their versions"


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -_LARGEST < value < _LARGEST


def _day(text: Any) -> date | None:
    try:
        return date.fromisoformat(text) if isinstance(text, str) and len(text) == 10 else None
    except ValueError:
        return None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
