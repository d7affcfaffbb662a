"""The server itself, as the old file describes it."""

from collections.abc import Mapping
from pathlib import Path as FilePath

from ems.derms.gridappsd.made import Made
from ems.derms.gridappsd.reading import Path, Section

_MODES = {
    "enddevices_create_on_start": "enddevices_create_on_start",
    "enddevices_register_access_only": "register_access_only",
    "enddevices_allow_all_access": "enddevices_create_on_start",
}
_LFDI_MODES = {"lfdi_mode_from_cert_fingerprint": "certificate", "lfdi_mode_from_file": "file"}
_PORT = 8443
"""What that server's documents use."""

_NEEDLESS = {
    "openssl_cnf": "`geems ieee2030-5 certs` makes certificates without it",
    "service_name": "the server is no service of a GridAPPS-D platform",
    "simulation_id": "the server is no service of a GridAPPS-D platform",
    "proxy_enabled": "connections and TLS sessions are kept without a proxy",
    "proxy_debug": "connections and TLS sessions are kept without a proxy",
    "connection_idle_timeout": "connections are kept open and ended by the server itself",
    "max_keep_alive_requests": "connections are kept open and ended by the server itself",
    "keep_alive_timeout": "connections are kept open and ended by the server itself",
    "ui_port": "the administration is on the server's own port, under /admin",
    "dual_server_enabled": "the administration is on the server's own port, under /admin",
    "admin_http_port": "the administration is on the server's own port, under /admin",
    "storage_path": "state is kept in the database that [store] names",
    "database_backend": "state is kept in the database that [store] names",
    "database_path": "state is kept in the database that [store] names",
    **dict.fromkeys(
        ("zodb_path", "zodb_pool_size", "zodb_cache_size", "zodb_pack_interval_hours"),
        "state is kept in the database that [store] names",
    ),
}
"""Keys without which nothing is lost, and why."""
_LEFT_OUT = {
    "gridappsd": "the server finds no devices in a GridAPPS-D model: list them under devices",
    "non_tls": "without TLS nothing but dcap is served (http_port)",
    "lfdi_client": "without a certificate nobody is served",
    "default_der_control": "a default belongs to a program: name it there",
    "debug_client_traffic": "use `geems --debug ieee2030-5 serve`",
    "program_lists": "give the programs in this file, under programs",
    "program_list": "give the programs in this file, under programs",
    "der_program_lists": "give the programs in this file, under programs",
    "curve_list": "give the curves in this file, under curves",
}
"""Keys that have no counterpart, and what to do."""
_OTHER_RATES = (
    *("log_event_list_poll_rate", "end_device_list_poll_rate", "device_capability"),
    *("end_device_list", "der_list", "der_program_list", "fsa_list", "usage_point"),
    *("registration", "log_event_list", "reading_set", "time"),
)
"""Rates of single resources."""


def server(root: Section) -> tuple[Made, FilePath]:
    """Where it listens, what it trusts, whom it lets in; and the folder of certificates."""
    made = Made(())
    host, port = _address(root)
    made.put("host", host, root.where("server", "server_hostname"))
    made.put("port", port, root.where("https_port", "port"))
    plain = root.number("http_port")
    made.put("http_port", None if plain is None else int(plain), root.where("http_port"))
    repository = FilePath(root.text("tls_repository") or "tls").expanduser()
    called = root.text("server", "server_hostname") or "127.0.0.1"
    stem = called if ":" in called or port is None else f"{called}:{port}"
    at = root.where("tls_repository")
    made.put("cert_file", str(repository / "certs" / f"{stem}.crt"), at)
    made.put("key_file", str(repository / "private" / f"{stem}.pem"), at)
    made.put("ca_file", str(repository / "certs" / "ca.crt"), at)
    root.told.changed(
        at,
        f"certificates are taken from {repository}. That server's lack what strict clients ask "
        "for (`geems ieee2030-5 certs show`); `geems ieee2030-5 certs` makes complete ones, and "
        "then the LFDIs are others",
    )
    _modes(root, made)
    _rates(root, made)
    _said(root)
    return made, repository


def _address(root: Section) -> tuple[str, int | None]:
    text = root.text("server", "server_hostname")
    port = root.number("https_port", "port")
    host = text or "127.0.0.1"
    # An IPv6 address has colons of its own; only one colon parts a port.
    if host.count(":") == 1:
        host, _, given = host.partition(":")
        port = int(given) if given.isdigit() and port is None else port
    return host, None if port is None and text is None else int(port or _PORT)


def _modes(root: Section, made: Made) -> None:
    mode = _known(root, "server_mode", _MODES)
    if root.values.get("server_mode") is None:
        mode = "register_access_only"
        why = (
            "server_mode is not named; taken as there: devices may connect and register themselves"
        )
        root.told.changed((), why)
    made.put("mode", mode, root.where("server_mode"))
    if root.values.get("server_mode") == "enddevices_allow_all_access":
        made.put("registration", "open", root.where("server_mode"))
        why = (
            "whoever has a certificate of the authority may register itself, and sees its own "
            "resources only; nobody sees all but an administrator"
        )
        root.told.changed(root.where("server_mode"), why)
    lfdi_mode = _known(root, "lfdi_mode", _LFDI_MODES)
    made.put("lfdi_mode", lfdi_mode, root.where("lfdi_mode"))
    if root.truth("generate_admin_cert"):
        why = (
            "make one by `geems ieee2030-5 certs DIR --administrator NAME`, and put its LFDI into "
            "`administrators`"
        )
        root.told.left_out(root.where("generate_admin_cert"), why)
    if root.truth("cleanse_storage"):
        why = "state outlives a restart; remove the database to begin anew"
        root.told.left_out(root.where("cleanse_storage"), why)


def _known(root: Section, key: str, known: Mapping[str, str]) -> str | None:
    value = root.text(key)
    if value is not None and value not in known:
        why = f'"{value}" is no such mode; known: {", ".join(known)}'
        root.told.left_out(root.where(key), why)
    return None if value is None else known.get(value)


def _rates(root: Section, made: Made) -> None:
    for ours, keys in {
        "poll_rate_s": ("poll_rate", "device_capability_poll_rate"),
        "post_rate_s": ("post_rate", "mirror_usage_point_post_rate", "usage_point_post_rate"),
    }.items():
        rate = root.number(*keys)
        made.put(ours, None if rate is None else int(rate), root.where(*keys))
    poll = made.get("poll_rate_s")
    for key in (*_OTHER_RATES, "mirror_usage_point"):
        rate = root.number(key)
        if rate is not None and rate != poll:
            why = f"all lists have one poll rate here, poll_rate_s = {poll or 60}"
            root.told.left_out(root.where(key), why)


def _said(root: Section) -> None:
    for key, why in _NEEDLESS.items():
        if root.take(key) is not None:
            root.told.needless((*root.at, key), why)
    for key, why in _LEFT_OUT.items():
        if root.take(key) not in (None, False):
            root.told.left_out((*root.at, key), why)
    proxy = root.text("proxy_hostname")
    if proxy is not None:
        at: Path = root.where("proxy_hostname")
        why = f"no proxy is needed; if clients connect to {proxy}, let the server listen there"
        root.told.left_out(at, why)
