"""The connection to the broker: tells the latest of everything, and never makes anyone wait.

Only what is newest counts: while the broker is away the latest message of each topic is kept,
and told once it is back. So nothing grows, and nobody is told stale values as news.
"""

import logging
import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ems.domain import CycleRecord, DerReading, LoadReading, Site
from ems.errors import BadInput, DeviceError
from ems.mqtt.discovery import announcements
from ems.mqtt.topics import OFFLINE, ONLINE, Message, Topics

log = logging.getLogger(__name__)

AT_LEAST_ONCE = 1
"""Quality of service: a message told twice says the same, one lost says nothing."""
RETRY_S = (1, 60)
"""Wait before the broker is tried again, first and longest [s]."""
FAREWELL_S = 2.0
"""How long the last message may take when the service ends [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is, and how one gets in."""

    host: str
    port: int
    prefix: str = "geems"
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca_file: str | None = None
    """Authorities that may sign the broker's certificate; None: those the system trusts."""
    cert_file: str | None = None
    key_file: str | None = None
    discovery: str = "homeassistant"
    """Prefix under which Home Assistant looks for devices; empty: nothing is announced."""


class MqttPublisher:
    """Publishes one site. Its methods return at once and never raise for the network."""

    def __init__(self, broker: Broker, site: Site) -> None:
        """Nothing is connected yet.

        Raises:
            BadInput: a certificate or key cannot be read.
        """
        self._broker = broker
        self._topics = Topics(root=f"{broker.prefix}/{site.name}")
        self.changed = threading.Condition()
        """Guards everything below; notified when the connection or its fault changes."""
        self._latest: dict[str, Message] = {}
        self._connected = False
        self._fault = ""
        self._client = self._made(site)
        if broker.discovery:
            for message in announcements(broker.discovery, self._topics, site):
                self._latest[message.topic] = message

    def start(self) -> None:
        """Connect, and keep connecting whenever it breaks; returns at once."""
        self._client.connect_async(self._broker.host, self._broker.port)
        self._client.loop_start()

    def stop(self) -> None:
        """Say good-bye and disconnect."""
        if self._connected:
            told = self._client.publish(
                self._topics.status, OFFLINE, qos=AT_LEAST_ONCE, retain=True
            )
            try:
                told.wait_for_publish(FAREWELL_S)
            except (RuntimeError, ValueError):  # it broke meanwhile: the broker says it for us
                log.debug("the broker went away before the farewell")
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def fault(self) -> str:
        """Why nobody is told anything at present; empty while connected."""
        return "" if self._connected else self._fault or f"{self._place}: not connected yet"

    # --- what is told ------------------------------------------------------------------

    def readings(
        self, now: datetime, answers: Mapping[str, DerReading | LoadReading | DeviceError]
    ) -> None:
        """Tell what the devices answered to a poll."""
        self._tell(self._topics.readings(now, answers))

    def cycle(self, record: CycleRecord) -> None:
        """Tell what a cycle foresaw, decided and sent."""
        self._tell(self._topics.record(record))

    def _tell(self, messages: Iterable[Message]) -> None:
        made = list(messages)
        with self.changed:
            self._latest.update({m.topic: m for m in made})
            connected = self._connected
        if connected:
            for message in made:
                self._publish(message)

    def _publish(self, message: Message) -> None:
        self._client.publish(message.topic, message.payload, qos=AT_LEAST_ONCE, retain=True)

    # --- the connection ----------------------------------------------------------------

    @property
    def _place(self) -> str:
        return f"MQTT broker {self._broker.host}:{self._broker.port}"

    def _made(self, site: Site) -> Client:
        # A clean session: what is told after a break is `_latest`, not a queue of old news.
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"geems-{site.name}",
            protocol=MQTTProtocolVersion.MQTTv311,
            clean_session=True,
        )
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls:
            client.tls_set_context(self._trust())
        client.will_set(self._topics.status, OFFLINE, qos=AT_LEAST_ONCE, retain=True)
        client.reconnect_delay_set(*RETRY_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        return client

    def _trust(self) -> ssl.SSLContext:
        broker = self._broker
        try:
            context = ssl.create_default_context(cafile=broker.ca_file)
            if broker.cert_file:
                context.load_cert_chain(broker.cert_file, broker.key_file, self._no_password)
        except (OSError, ssl.SSLError) as fault:
            files = ", ".join(f for f in (broker.ca_file, broker.cert_file, broker.key_file) if f)
            raise BadInput.at("mqtt", f"cannot use {files}: {fault}") from fault
        return context

    def _no_password(self) -> str:
        """An encrypted key would ask the terminal, and hold the service up."""
        raise OSError("the key is encrypted, and nobody can be asked for its password")

    def _on_connect(
        self,
        client: Client,
        _data: Any,
        _flags: ConnectFlags,
        code: ReasonCode,
        _p: Properties | None,
    ) -> None:
        if code.is_failure:
            self._say(f"{self._place} refuses: {code}; check username and password_file")
            return
        with self.changed:
            self._connected, self._fault = True, ""
            latest = list(self._latest.values())
            self.changed.notify_all()
        log.info("%s: connected", self._place)
        client.publish(self._topics.status, ONLINE, qos=AT_LEAST_ONCE, retain=True)
        for message in latest:
            self._publish(message)

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._say(f"{self._place}: no connection")

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        _flags: DisconnectFlags,
        code: ReasonCode,
        _p: Properties | None,
    ) -> None:
        with self.changed:
            was, self._connected = self._connected, False
        if was and code.is_failure:  # else it never was one: the broker refused, and said why
            self._say(f"{self._place}: connection lost ({code})")

    def _say(self, fault: str) -> None:
        """Keep a fault, and log it once, not at every attempt."""
        if fault != self._fault:
            log.warning("%s; control goes on, and it is tried again", fault)
        with self.changed:
            self._fault = fault
            self.changed.notify_all()
