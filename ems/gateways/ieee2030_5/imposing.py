"""What a utility's controls limit a site to, and what stands where the utility is not heard."""

from dataclasses import replace

from ems.domain import Imposed
from ems.enddevice.application import ControlInForce
from ems.gateways.ieee2030_5.site_as_der import CEASES
from ems.protocols.ieee2030_5 import sep, values


def imposed(control: ControlInForce, rated_w: float) -> Imposed:
    """What a control in force limits a site to.

    opModMaxLimW (of the rating) and opModGenLimW bound what all DERs together inject, and so do
    opModConnect and opModEnergize where they are false: to nothing.
    """
    notes, generation, alarms = [], [], []
    for mode, ordered in sorted(control.ordered.items()):
        asked = ordered.value
        by = f"{'control' if ordered.event else 'default control'} {ordered.source}"
        if mode == "opModMaxLimW" and isinstance(asked, int):
            generation.append(values.share(asked) * rated_w / 1000.0)
            notes.append(f"utility: generation ≤ {generation[-1]:g} kW ({mode}, {by})")
        elif mode == "opModGenLimW" and isinstance(asked, sep.ActivePower):
            generation.append(max(values.watts(asked), 0.0) / 1000.0)
            notes.append(f"utility: generation ≤ {generation[-1]:g} kW ({mode}, {by})")
        elif mode in CEASES and asked is False:
            generation.append(0.0)
            notes.append(
                f"utility: {mode} = false ({by}): the DERs inject no more than they take; GEEMS "
                "opens no breaker"
            )
            if mode == "opModConnect":
                alarms.append(
                    f"the utility asks the site to disconnect ({by}): GEEMS brings its DERs to "
                    "nothing, and opens no breaker; open it by hand"
                )
    limits = {}
    for name, mode, word in (
        ("import_kw", "opModImpLimW", "import"),
        ("export_kw", "opModExpLimW", "export"),
    ):
        found = control.ordered.get(mode)
        if found is not None and isinstance(found.value, sep.ActivePower):
            limits[name] = max(values.watts(found.value), 0.0) / 1000.0
            by = f"{'control' if found.event else 'default control'} {found.source}"
            notes.append(f"utility: {word} ≤ {limits[name]:g} kW ({mode}, {by})")
    return Imposed(
        import_kw=limits.get("import_kw"),
        export_kw=limits.get("export_kw"),
        generation_kw=min(generation, default=None),
        notes=tuple(notes),
        alarms=tuple(alarms),
    )


def still(now: Imposed, last: Imposed, lost: str) -> Imposed:
    """Limits while the utility is not heard.

    Those of its default control, and where that has none the last that were in force.

    Args:
        now: of what is in force without it.
        last: when it was last heard.
        lost: why it is lost.
    """
    kept = {
        name: getattr(last, name)
        for name in ("import_kw", "export_kw", "generation_kw")
        if getattr(now, name) is None and getattr(last, name) is not None
    }
    notes = [*now.notes]
    if kept:
        told = ", ".join(
            f"{name.removesuffix('_kw')} ≤ {limit:g} kW" for name, limit in kept.items()
        )
        notes.append(f"utility: not heard, its last limits are kept: {told}")
    return replace(now, **kept, notes=tuple(notes), lost=lost)
