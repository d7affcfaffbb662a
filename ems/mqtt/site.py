"""The publisher of a site, as its file says."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ems.domain import Site
from ems.errors import BadInput
from ems.mqtt.publisher import Broker, MqttPublisher
from ems.settings import Settings

PORT = {False: 1883, True: 8883}
"""Registered with IANA: MQTT, and MQTT over TLS."""


@contextmanager
def listening(settings: Settings, site: Site) -> Iterator[MqttPublisher | None]:
    """Tell the broker of the site file while the block runs; None where it names none.

    Raises:
        BadInput: a file it names cannot be read.
    """
    broker = broker_of(settings)
    if broker is None:
        yield None
        return
    publisher = MqttPublisher(broker, site)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()


def broker_of(settings: Settings) -> Broker | None:
    """The broker of a site file, its password and certificates read from their files.

    Raises:
        BadInput: the password cannot be read.
    """
    table, folder = settings.mqtt, settings.file.parent
    if table is None:
        return None
    password = None
    if table.password_file is not None:
        path = folder / table.password_file
        try:
            password = path.read_text(encoding="utf-8").partition("\n")[0]
        except (OSError, UnicodeError) as fault:
            place = f"{settings.file.name}: mqtt.password_file"
            raise BadInput.at(place, f"{path} cannot be read: {fault}") from fault
    return Broker(
        host=table.host,
        port=PORT[table.tls] if table.port is None else table.port,
        prefix=table.prefix,
        username=table.username,
        password=password,
        tls=table.tls,
        ca_file=_beside(folder, table.ca_file),
        cert_file=_beside(folder, table.cert_file),
        key_file=_beside(folder, table.key_file),
        discovery=table.discovery,
    )


def _beside(folder: Path, name: str | None) -> str | None:
    return None if name is None else str(folder / name)
