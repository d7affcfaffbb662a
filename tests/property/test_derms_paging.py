"""Pages of a list, put together, are the list; whatever is asked."""

from hypothesis import given
from hypothesis import strategies as st

from ems.protocols.ieee2030_5 import sep
from tests.derms_asked import ALICE, Asked

STARTS = st.lists(st.integers(-50, 500), max_size=30)
"""Starts of the controls of a program, from now [s]."""


def _asked(starts: list[int]) -> tuple[Asked, list[str]]:
    """A program with these controls, and their mRIDs in the order of the standard."""
    asked = Asked()
    asked.neighbours()
    made = [
        asked.board.publish(
            "both", base=sep.DERControlBase(opModConnect=True), start=asked.now + at, duration=600
        )
        for at in starts
    ]
    made.sort(key=lambda c: c.mrid, reverse=True)
    made.sort(key=lambda c: c.created, reverse=True)
    made.sort(key=lambda c: c.start)
    return asked, [c.mrid for c in made]


@given(starts=STARTS, length=st.integers(1, 40))
def test_pages_make_the_list_and_say_how_long_it_is(starts: list[int], length: int) -> None:
    asked, expected = _asked(starts)
    found: list[str] = []
    while True:
        page = asked.get(ALICE, f"/derp/1/derc?s={len(found)}&l={length}")
        mrids = page.texts("DERControl/mRID")
        assert page.counts == (len(expected), len(mrids))
        if not mrids:
            break
        assert len(mrids) <= length
        found += mrids

    assert found == expected


@given(starts=STARTS, s=st.integers(0, 40), length=st.integers(0, 400))
def test_a_page_is_a_slice(starts: list[int], s: int, length: int) -> None:
    asked, expected = _asked(starts)

    page = asked.get(ALICE, f"/derp/1/derc?l={length}&s={s}")

    assert page.texts("DERControl/mRID") == expected[s : s + length]
    assert page.counts == (len(expected), len(expected[s : s + length]))


@given(starts=STARTS, after=st.integers(-60, 600), s=st.integers(0, 5))
def test_after_lets_through_what_starts_later(starts: list[int], after: int, s: int) -> None:
    asked, _ = _asked(starts)
    later = sorted(at for at in starts if at > after)

    page = asked.get(ALICE, f"/derp/1/derc?a={asked.now + after}&s={s}&l=99")

    found = [int(at) - asked.now for at in page.texts("DERControl/interval/start")]
    assert found == later[s:]
    assert page.counts == (len(later), len(found))


@given(starts=STARTS)
def test_without_a_limit_a_page_has_one_item(starts: list[int]) -> None:
    asked, expected = _asked(starts)

    page = asked.get(ALICE, "/derp/1/derc")

    assert page.texts("DERControl/mRID") == expected[:1]
    assert page.counts == (len(expected), min(1, len(expected)))


@given(text=st.text(max_size=25), key=st.sampled_from("sla"))
def test_a_query_is_a_whole_number_or_refused(text: str, key: str) -> None:
    asked, _ = _asked([0])
    plain = text.encode().hex()  # percent-encoded, so that it stays one parameter
    query = "".join(f"%{plain[n : n + 2]}" for n in range(0, len(plain), 2))

    got = asked.ask(ALICE, "GET", f"/derp/1/derc?{key}={query}")

    digits = text.isascii() and text.isdigit() and len(text) < 20
    assert got.status == (200 if digits else 400)


@given(count=st.integers(0, 300))
def test_devices_come_by_their_short_identifier_and_255_at_most(count: int) -> None:
    asked = Asked()
    asked.neighbours()
    for number in range(1, count + 1):
        lfdi = f"{(number * 2654435761) % 2**36:09X}{number:031X}"
        asked.board.add_device(f"d{number}", lfdi=lfdi, aggregator=ALICE)

    page = asked.get(ALICE, "/edev?l=1000")

    found = [int(sfdi) for sfdi in page.texts("EndDevice/sFDI")]
    assert found == sorted(found)
    assert page.counts == (count + 1, min(255, count + 1))
