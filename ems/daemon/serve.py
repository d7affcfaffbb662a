"""The service and its web in one process."""

import logging
from collections.abc import Callable

from ems.daemon.service import Service
from ems.settings import Settings
from ems.web import bind, create_app, run, url_of

log = logging.getLogger(__name__)


def serve(
    service: Service, host: str, port: int, announce: Callable[[str], None] | None = None
) -> None:
    """Run the service and its web until SIGTERM or SIGINT; call from the main thread.

    The address is taken before anything is asked of a device. On the signal the running
    cycle is finished and the lease given back.

    Args:
        service: not started yet.
        host: a loopback address.
        port: 0 lets the system choose.
        announce: told the URL once the service runs.

    Raises:
        BadInput: `host` is not on loopback.
        PortInUse: another program listens there.
        LeaseHeld: another process runs this site.
    """
    with bind(host, port) as listener:
        url = url_of(listener)

        def start() -> None:
            service.start()
            log.info("serving %s", url)
            if announce:
                announce(url)

        app = create_app(service.store, service.health, service.site)
        run(app, listener, start=start, stop=service.stop)


def serve_site(settings: Settings) -> None:
    """Open a site as its file says, and serve it until SIGTERM or SIGINT.

    Raises:
        What `open_site` and `serve` raise.
    """
    from ems.assembly import open_site  # noqa: PLC0415  solver and OpenDSS: 2 s, needed only here
    from ems.mqtt import listening  # noqa: PLC0415  needed only here too

    with open_site(settings) as opened, listening(settings, opened.site) as audience:
        service = Service(
            site=opened.site,
            policy=opened.policy,
            ports=opened.ports,
            store=opened.store,
            run=opened.run,
            clock=opened.clock,
            poll_s=settings.control.poll_s,
            audience=audience,
            concerns=opened.concerns,
            ready=opened.ready,
            begin=opened.begin,
            end=opened.end,
            imposed=opened.imposed,
            measured=opened.measured,
            links=opened.links,
        )
        serve(service, settings.web.host, settings.web.port)
