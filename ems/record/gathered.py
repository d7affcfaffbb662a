"""The record of one cycle: everything it saw, decided and did, in one value."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ems.domain import (
    Answer,
    Before,
    BusMismatch,
    CycleRecord,
    Degraded,
    DerReading,
    Dispatch,
    Forecast,
    Horizon,
    Imposed,
    Infeasible,
    InForce,
    Ledger,
    Outcome,
    Partial,
    Plan,
    Quality,
    Refused,
    RowKind,
    Secured,
    Setpoint,
    Setup,
    Site,
    Snapshot,
    Timed,
    Violation,
    Watched,
)


def record(
    site: Site,
    snapshot: Snapshot,
    forecast: Forecast,
    free: Dispatch,
    secured: Secured,
    ledger: Ledger,
    outcomes: Mapping[str, Outcome],
    *,
    alarms: Iterable[str] = (),
    stage_s: Mapping[str, float] | None = None,
    versions: Mapping[str, str] | None = None,
    in_force: Mapping[str, InForce] | None = None,
    mismatch: Mapping[str, BusMismatch] | None = None,
    kept: Mapping[str, Setpoint] | None = None,
    watched: Watched | None = None,
    plan: Plan | None = None,
    setup: Setup | None = None,
    before: Before | None = None,
    horizon: Horizon | None = None,
    no_horizon: str = "",
    answers: Mapping[str, tuple[Answer, ...]] | None = None,
    timed: Timed | None = None,
    imposed: Imposed | None = None,
) -> CycleRecord:
    """Gather everything one cycle saw, decided and did.

    Args:
        site: What is installed.
        snapshot: The state it started from.
        forecast: What it expected; its start is the interval decided for.
        free: Dispatch without network rows.
        secured: Dispatch after the load flow's word.
        ledger: Why.
        outcomes: What became of each device's command.
        alarms: Further lines for the operator. What the stages' values already tell
            (an infeasible or degraded dispatch, a write that failed, a measurement
            that is stale or assumed) is added here, worst first, each line once.
        stage_s: Wall time per stage [s].
        versions: What the cycle ran on, by name.
        in_force: What the devices hold afterwards.
        mismatch: How measured buses differ from the model.
        kept: What devices were left at, being near enough to what was decided.
        watched: What was seen of them since the cycle before.
        plan: The day ahead whose first interval was sent.
        setup: Site and policy as they are.
        before: What the cycle before left to this one.
        horizon: The day ahead as it was foretold.
        no_horizon: Why it could not be.
        answers: What devices answered to the writes.
        timed: What depended on how long things took.
        imposed: What a utility limited the site to.
    """
    return CycleRecord(
        start=forecast.start,
        site=site.name,
        snapshot=snapshot,
        forecast=forecast,
        free=free,
        secured=secured,
        ledger=ledger,
        outcomes=dict(outcomes),
        alarms=_alarms(snapshot, secured, outcomes, alarms),
        stage_s=dict(stage_s or {}),
        versions=dict(versions or {}),
        in_force=dict(in_force or {}),
        mismatch=dict(mismatch or {}),
        kept=dict(kept or {}),
        watched=watched,
        plan=plan,
        setup=setup,
        before=before,
        horizon=horizon,
        no_horizon=no_horizon,
        answers=dict(answers or {}),
        timed=timed or Timed(),
        imposed=imposed,
    )


def _alarms(
    snapshot: Snapshot, secured: Secured, outcomes: Mapping[str, Outcome], further: Iterable[str]
) -> tuple[str, ...]:
    """What an operator must look at, worst first, each line once."""
    lines: list[str] = []
    if isinstance(secured, Infeasible):
        lines.append(f"no safe dispatch: {secured.reason}")
        lines += _folded(secured.violations)
    elif isinstance(secured, Degraded):
        lines.append(secured.reason)
    for der, outcome in outcomes.items():
        if _told_by(snapshot.ders.get(der), outcome):
            continue
        if isinstance(outcome, Refused):
            lines.append(f"{der}: not written: {_bare(der, outcome.reason)}")
        elif isinstance(outcome, Partial):
            what = "written in part" if outcome.readback is None else "does not follow"
            lines.append(f"{der}: {what}: {_bare(der, outcome.reason)}")
    lines += snapshot.faults
    lines += further
    return tuple(dict.fromkeys(lines))


def _folded(violations: Sequence[Violation]) -> Iterator[str]:
    """Of each kind of limit the worst place, and how many more there are, over all cases."""
    kinds: dict[RowKind, list[Violation]] = {}
    for violation in violations:
        kinds.setdefault(violation.kind, []).append(violation)
    for broken in kinds.values():
        more = len({violation.place for violation in broken}) - 1
        yield f"{broken[0]}, and {more} more" if more else str(broken[0])


def _told_by(reading: DerReading | None, outcome: Outcome) -> bool:
    """Whether a device was not written for what its reading tells anyway: it does not answer."""
    if reading is None or reading.quality is Quality.GOOD or not reading.note:
        return False
    return isinstance(outcome, Refused) and reading.note in outcome.reason


def _bare(der: str, reason: str) -> str:
    """The reason without the name in front that a gateway's message may carry."""
    return reason.removeprefix(f"{der}: ")
