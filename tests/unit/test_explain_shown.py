"""The ledger in what the REST interface answers."""

from dataclasses import replace
from pathlib import Path

from ems.domain import Counterfactual, LedgerEntry, LimitPrice, RowKind
from ems.record import from_json
from ems.reproduce import reference_site
from ems.web import present

SAMPLE = Path(__file__).with_name("test_record_sample.json").read_text()


def test_a_dispatch_tells_what_moved_each_der_what_binds_and_what_else_would_have_saved() -> None:
    record = from_json(SAMPLE)
    entry = LedgerEntry(
        der="pv", moved_kw=-2221.0, moved_kvar=0.0, limits=("B13",),
        limits_usd_per_kwh=0.58, energy_usd_per_kwh=0.574, cost_usd_per_h=1275.0,
    )  # fmt: skip
    ledger = replace(
        record.ledger,
        compliance_usd_per_h=1275.0,
        entries=(entry,),
        limits=(
            LimitPrice(
                kind=RowKind.V_MAX, place="B13", limit=1.1, price=55e3, slack=0.0,
                relief_usd_per_h=1288.0,
            ),
        ),
        counterfactuals=(
            Counterfactual(
                what="4400 kvar of pv instead of none", saves_usd_per_h=1274.0,
                price_usd_per_h_per_unit=2.0, step=4400.0, unit="kvar",
            ),
        ),
    )  # fmt: skip
    shown = present.dispatch(replace(record, ledger=ledger), reference_site(), {})
    assert shown.compliance_usd == 318.75
    (limit,) = shown.binding
    assert (limit.what, limit.relief_usd_per_h) == ("B13 at its 1.10 pu limit", 1288.0)
    (told,) = shown.counterfactuals
    assert (told.what, told.saves_usd_per_h, told.verified) == (
        "4400 kvar of pv instead of none", 1274.0, False,
    )  # fmt: skip
    pv, dg = (next(d for d in shown.ders if d.der == name) for name in ("pv", "dg"))
    assert (pv.moved_usd_per_h, pv.energy_usd_per_kwh, pv.limits_usd_per_kwh) == (
        1275.0, 0.574, 0.58,
    )  # fmt: skip
    assert pv.limits == ("B13",)
    assert dg.moved_usd_per_h is None
    assert dg.limits == ()


def test_a_record_of_before_the_ledger_had_prices_is_shown_without_them() -> None:
    shown = present.dispatch(from_json(SAMPLE), reference_site(), {})
    assert shown.binding == ()
    assert shown.counterfactuals == ()
    assert next(d for d in shown.ders if d.der == "pv").limits == ("B13.1",)
