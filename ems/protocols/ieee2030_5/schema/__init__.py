"""The resources of IEEE 2030.5-2018, by function set; `ems.protocols.ieee2030_5.sep` holds all.

They stand on the base of `envoy-schema` (pydantic-xml, namespaces). Its own resources are made for
CSIP-AUS: elements of that profile are mandatory, reserved values are refused, integers have no
bounds, and curves, power status and device information are missing.
"""
