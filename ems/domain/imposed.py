"""What somebody who may limits a site to, for as long as it holds."""

from dataclasses import dataclass, replace

from ems.domain.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Imposed:
    """Limits of a utility in the present interval. They lower a site's own, and never raise one."""

    import_kw: float | None = None
    """Most power taken at the point of common coupling; None: no such limit [kW]."""
    export_kw: float | None = None
    """Most power given there, likewise [kW]."""
    generation_kw: float | None = None
    """Most that all DERs together may inject, likewise; at 0 the site stays connected, and what
    they inject covers what they take [kW]."""
    notes: tuple[str, ...] = ()
    """Which control asks for what, for people."""
    alarms: tuple[str, ...] = ()
    """What it asks and nobody here can do, or understand; an operator must see to it."""
    lost: str = ""
    """Why these may not be the present ones: the utility does not answer; empty where it does."""

    def on(self, site: Site) -> Site:
        """The site, with limits of its own, as it is limited."""
        return replace(
            site,
            import_limit_kw=_lower(site.import_limit_kw, self.import_kw),
            export_limit_kw=_lower(site.export_limit_kw, self.export_kw),
            generation_limit_kw=_lower(site.generation_limit_kw, self.generation_kw),
        )


def _lower(one: float | None, other: float | None) -> float | None:
    known = [limit for limit in (one, other) if limit is not None]
    return min(known, default=None)
