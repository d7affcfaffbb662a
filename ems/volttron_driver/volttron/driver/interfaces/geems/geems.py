"""The driver's face to the platform: points by topic, written one by one, and reverted.

A point is a SunSpec point of the device (`704.WSet`), a value of the GEEMS service
(`dispatch/latest#/status`), or a point of an end device of the IEEE 2030.5 server
(`2030.5/b802_SoC`), as the registry's column `Reference Point Name` says.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import Field, model_validator
from volttron.driver.base.config import PointConfig, RemoteConfig
from volttron.driver.base.interfaces import (
    BaseInterface,
    BaseRegister,
    BasicRevert,
    DriverInterfaceError,
)

from .end_device import PREFIX, EndDevice
from .service import Service
from .sunspec import SunSpecDevice, split


class GeemsRemoteConfig(RemoteConfig):
    """`driver_config`: where the device answers, and the service, where there is one."""

    device_address: str | None = None
    """Host name or address of the device or RTU; default: none, only the IEEE 2030.5 server."""
    port: int = Field(default=502, ge=1, le=65535)
    unit: int = Field(default=1, ge=0, le=255)
    """Modbus unit identifier."""
    timeout: float = Field(default=3.0, gt=0, le=60)
    """How long one answer may take [s]."""
    service_url: str | None = None
    """The GEEMS service, `http://127.0.0.1:8080`; default: none."""
    server_url: str | None = None
    """The IEEE 2030.5 server, `https://127.0.0.1:8443`; default: none."""
    end_device: str | None = None
    """Name of the device there."""
    ca_file: str | None = None
    """PEM file of the authority that signed the server's certificate."""
    cert_file: str | None = None
    """PEM file of a certificate the server trusts: an administrator's, or any with the token."""
    key_file: str | None = None
    """PEM file of its private key."""
    token_file: str | None = None
    """File whose first line is the administration's token; default: the certificate opens."""

    @model_validator(mode="after")
    def _somebody(self) -> "GeemsRemoteConfig":
        if self.server_url is None and self.device_address is None:
            raise ValueError("device_address or server_url: name the device, or the server")
        needed = ("end_device", "ca_file", "cert_file", "key_file")
        missing = [key for key in needed if getattr(self, key) is None]
        if self.server_url is not None and missing:
            raise ValueError(f"server_url needs {', '.join(missing)}")
        return self


class GeemsPointConfig(PointConfig):
    """One row of the registry."""

    default: str = Field(default="", alias="Default Value")
    """What the point reverts to; empty: what it held before it was first set."""


class GeemsRegister(BaseRegister):
    """One point."""

    def __init__(self, row: GeemsPointConfig) -> None:
        super().__init__("byte", not row.writable, row.volttron_point_name, row.units, row.notes)
        self.reference = row.reference_point_name
        self.of_server = self.reference.startswith(PREFIX)
        self.of_service = "#" in self.reference and not self.of_server
        self.default = row.default
        self.python_type = float


class Geems(BasicRevert, BaseInterface):
    """One SunSpec device or end device under GEEMS, and what the service says."""

    REGISTER_CONFIG_CLASS = GeemsPointConfig
    INTERFACE_CONFIG_CLASS = GeemsRemoteConfig
    default_config: dict[str, Any] = {}  # noqa: RUF012 - the framework's own attribute

    def __init__(self, config: RemoteConfig, *args: Any, **kwargs: Any) -> None:
        BasicRevert.__init__(self)
        BaseInterface.__init__(self, config, *args, **kwargs)
        at = self.config
        self._device = (
            SunSpecDevice(at.device_address, at.port, at.unit, at.timeout)
            if at.device_address
            else None
        )
        self._end_device = _end_device(at) if at.server_url else None
        self._service = Service(at.service_url, at.timeout) if at.service_url else None

    @classmethod
    def unique_remote_id(cls, config_name: str, config: RemoteConfig) -> tuple[Any, ...]:
        """Devices that share an address, a port and a unit share one connection."""
        extra = config.model_dump()
        at = tuple(extra.get(key) for key in ("device_address", "port", "unit"))
        server = tuple(extra.get(key) for key in ("server_url", "end_device"))
        return (*at, *server) if at[0] or server[0] else (config_name,)

    # --- registers ---------------------------------------------------------------------

    def create_register(self, register_definition: GeemsPointConfig) -> GeemsRegister:
        """A register of one registry row.

        Raises:
            ValueError: the row names no point, or wants to write what cannot be written.
        """
        row = register_definition
        register = GeemsRegister(row)
        place = f"registry row '{row.volttron_point_name}'"
        if register.of_server:
            if self._end_device is None:
                raise ValueError(f"{place}: needs server_url in driver_config")
            return register
        if register.of_service:
            if row.writable:
                raise ValueError(
                    f"{place}: values of the service are read-only; set Writable FALSE"
                )
            if self._service is None:
                raise ValueError(f"{place}: needs service_url in driver_config")
            return register
        if self._device is None:
            raise ValueError(f"{place}: needs device_address in driver_config")
        try:
            split(register.reference)
        except DriverInterfaceError as fault:
            raise ValueError(f"{place}, Reference Point Name: {fault}") from fault
        return register

    def insert_register(self, register: BaseRegister, base_topic: str) -> None:
        """Take a register in; where it has a default, that is what it reverts to."""
        super().insert_register(register, base_topic)
        if isinstance(register, GeemsRegister) and register.default:
            self.set_default(f"{base_topic}/{register.point_name}", register.default)

    def finalize_setup(self, initial_setup: bool = False) -> None:  # noqa: ARG002 - the framework's signature
        """Learn the points' types of the device, where it answers already; else quantities."""
        registers = [r for r in self.point_map.values() if not (r.of_service or r.of_server)]
        if self._device is None:
            return
        kinds = self._device.kinds(r.reference for r in registers)
        for register in registers:
            register.python_type = kinds.get(register.reference, float)

    # --- reading -----------------------------------------------------------------------

    def get_point(self, topic: str, **_: Any) -> Any:
        """The value now.

        Raises:
            DriverInterfaceError: no answer, no such point, or not available (NaN).
        """
        values, errors = self._read([topic])
        if topic not in values:
            raise DriverInterfaceError(errors[topic])
        return values[topic]

    def _get_multiple_points(
        self, topics: Iterable[str], **_: Any
    ) -> tuple[dict[str, Any], dict[str, str]]:
        return self._read(list(topics))

    def _read(self, topics: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Values by topic, each model and each resource read once; and what went wrong."""
        values: dict[str, Any] = {}
        errors: dict[str, str] = {}
        wanted: dict[Any, dict[str, str]] = {}
        for topic in topics:
            try:
                register = self.get_register_by_name(topic)
            except DriverInterfaceError as fault:
                errors[topic] = str(fault)
                continue
            wanted.setdefault(self._source(register), {})[topic] = register.reference
        for source, references in wanted.items():
            found, wrong = source.read(references.values())
            values |= {t: found[r] for t, r in references.items() if r in found}
            errors |= {t: wrong[r] for t, r in references.items() if r in wrong}
        return values, errors

    def _source(self, register: BaseRegister) -> Any:
        """Who has the value; `create_register` saw to it that there is one."""
        if register.of_server:
            return self._end_device
        return self._service if register.of_service else self._device

    # --- writing -----------------------------------------------------------------------

    def _set_point(self, topic: str, value: Any) -> Any:
        """Write, read back, compare.

        Returns:
            What the device holds: never more than was asked.

        Raises:
            DriverInterfaceError: read-only, refused, not answered, or not held.
        """
        register = self.get_register_by_name(topic)
        if register.read_only:
            raise DriverInterfaceError(f"{topic} is read-only in the registry")
        source = self._source(register)
        if topic not in self._tracker.clean_values:
            # Nobody polled it yet: what it holds now is what it reverts to. A control point of an
            # end device that is not asked has no value; reverted, it is not asked again.
            before, _ = source.read([register.reference])
            if register.reference in before:
                self._update_clean_values({topic: before[register.reference]})
            elif register.of_server:
                self._update_clean_values({topic: None})
        return source.write(register.reference, value)

    def revert_all(self, **_: Any) -> None:
        """Put every point that was set back to what it held, or to its default.

        Controls that were off are switched off first and values follow; controls that were on
        are switched on last: no control is ever on with a value that is neither.

        Raises:
            DriverInterfaceError: names every point that did not go back.
        """
        points = {
            topic: value
            for topic, value in self._tracker.get_all_revert_values().items()
            if not isinstance(value, DriverInterfaceError)
        }
        failed = []
        for topic in sorted(points, key=lambda t: self._turn(t, points[t])):
            try:
                self._set_point(topic, points[topic])
            except DriverInterfaceError as fault:
                failed.append(f"{topic}: {fault}")
            else:
                self._tracker.clear_dirty_point(topic)
        if failed:
            raise DriverInterfaceError("not reverted: " + "; ".join(failed))

    def revert_point(self, topic: str, **_: Any) -> None:
        """Put one point back."""
        super().revert_point(topic)

    def _turn(self, topic: str, value: Any) -> int:
        reference = self.get_register_by_name(topic).reference
        if not reference.endswith("Ena"):
            return 1
        return 2 if value else 0


def _end_device(at: GeemsRemoteConfig) -> EndDevice:
    return EndDevice(
        str(at.server_url),
        str(at.end_device),
        ca_file=str(at.ca_file),
        cert_file=str(at.cert_file),
        key_file=str(at.key_file),
        token_file=at.token_file,
        timeout_s=at.timeout,
    )
