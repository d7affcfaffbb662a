"""Publication of measurements, forecasts and setpoints over MQTT, with Home Assistant discovery."""

from ems.mqtt.publisher import Broker, MqttPublisher
from ems.mqtt.site import listening

__all__ = ["Broker", "MqttPublisher", "listening"]
