"""Read-only points of the GEEMS service: `dispatch/latest#/ders/pv/setpoint_kw`.

The part before `#` is a resource below `/api/v1/`, the part behind it a JSON pointer (RFC 6901) in
which an item of a list goes by its name.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

RESOURCES = ("dispatch/latest", "health")
"""What the registry is made of; any other GET resource may be named in it too."""


class Service:
    """What the service tells over REST."""

    def __init__(self, url: str, timeout_s: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"service_url '{url}': write http:// or https:// and the host")
        self._root = f"{url.rstrip('/')}/api/v1/"
        self._timeout_s = timeout_s

    def read(self, references: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Read points, each resource once: values by reference, and why the others have none."""
        values: dict[str, Any] = {}
        errors: dict[str, str] = {}
        documents: dict[str, Any] = {}
        for reference in references:
            resource, _, pointer = reference.partition("#")
            if resource not in documents:
                documents[resource] = self._get(resource)
            document = documents[resource]
            if isinstance(document, _Failure):
                errors[reference] = str(document)
                continue
            value = _resolve(document, pointer)
            if value is None:
                errors[reference] = f"{reference} has no value now"
            elif isinstance(value, dict | list):
                errors[reference] = f"{reference} is not a single value"
            else:
                values[reference] = value
        return values, errors

    def points(self) -> Iterator[tuple[str, Any]]:
        """Every single value of the resources, with its reference."""
        for resource in RESOURCES:
            document = self._get(resource)
            if not isinstance(document, _Failure):
                yield from _leaves(document, f"{resource}#")

    def _get(self, resource: str) -> Any:
        try:
            with urlopen(self._root + resource, timeout=self._timeout_s) as answer:  # noqa: S310 - the scheme was checked
                return json.load(answer)
        except HTTPError as fault:
            return _Failure(f"{self._root}{resource}: {fault.code} {fault.reason}")
        except (URLError, OSError, ValueError) as fault:
            return _Failure(f"{self._root}{resource}: no answer ({fault})")


class _Failure(str):
    """Why a resource could not be read."""

    __slots__ = ()


def _resolve(document: Any, pointer: str) -> Any:
    found = document
    for step in pointer.lstrip("/").split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list):
            found = next((item for item in found if _name(item) == key), None)
        else:
            return None
    return found


def _name(item: Any) -> Any:
    """What an item of a list is called: places in a list may change from cycle to cycle."""
    return (item.get("der") or item.get("name")) if isinstance(item, dict) else None


def _leaves(value: Any, reference: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            escaped = str(key).replace("~", "~0").replace("/", "~1")
            yield from _leaves(inner, f"{reference}/{escaped}")
    elif isinstance(value, list):
        for item in value:
            if name := _name(item):
                yield from _leaves(item, f"{reference}/{name}")
    else:
        yield reference, value
