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
    lost: str = ""
    """Why these may not be the present ones: the utility does not answer; empty where it does."""

    def on(self, site: Site, load_kw: float, loss_factor: float | None) -> Site:
        """The site as it is limited.

        Args:
            site: with limits of its own.
            load_kw: expected in the interval [kW].
            loss_factor: K of eq. (2); None: the site's [1].
        """
        export_kw = self.export_kw
        if self.generation_kw is not None:
            # (2) grid = (1 + K) load - injections: so many kW injected are so many exported.
            losses = site.loss_factor if loss_factor is None else loss_factor
            export_kw = _lower(export_kw, self.generation_kw - (1.0 + losses) * load_kw)
        return replace(
            site,
            import_limit_kw=_lower(site.import_limit_kw, self.import_kw),
            export_limit_kw=_lower(site.export_limit_kw, export_kw),
        )


def _lower(one: float | None, other: float | None) -> float | None:
    known = [limit for limit in (one, other) if limit is not None]
    return min(known, default=None)
