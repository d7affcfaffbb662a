"""Lists come in the order of the standard, whatever the order in which things were made."""

import random

import pytest

from tests.derms_asked import ALICE, NAMESPACE, Asked

MEDIA = "application/sep+xml"
MRIDS = [f"{n:032X}" for n in (3, 1, 5, 2, 4)]
DOWNWARDS = sorted(MRIDS, reverse=True)


@pytest.fixture
def asked() -> Asked:
    made = Asked()
    made.board.add_device("alice", lfdi=ALICE)
    return made


def test_programs_come_by_primacy_then_mrid_downwards(asked: Asked) -> None:
    primacies = [2, 1, 1, 2, 0]
    for mrid, primacy in zip(MRIDS, primacies, strict=True):
        asked.board.add_program(mrid, primacy=primacy, mrid=mrid)
    asked.board.change_device("alice", groups=MRIDS)

    expected = [m for _, m in sorted(zip((-p for p in primacies), MRIDS, strict=True))][::-1]
    for path in ("/derp", "/edev/1/derp", "/edev/1/fsa/1/derp"):
        assert asked.get(ALICE, f"{path}?l=9").texts("DERProgram/mRID") == expected


def test_assignments_come_by_mrid_downwards(asked: Asked) -> None:
    asked.board.add_program("p", primacy=1)
    for mrid in MRIDS:
        asked.board.add_group(f"g{mrid}", programs=["p"], mrid=mrid)
    asked.board.change_device("alice", groups=[f"g{mrid}" for mrid in MRIDS])

    listed = asked.get(ALICE, "/edev/1/fsa?l=9")
    assert listed.texts("FunctionSetAssignments/mRID") == DOWNWARDS
    for href in listed.hrefs("FunctionSetAssignments"):
        assert asked.get(ALICE, f"{href}/derp").counts == (1, 1)


def test_curves_come_newest_first_then_mrid_downwards(asked: Asked) -> None:
    asked.board.add_program("p", primacy=1)
    asked.board.change_device("alice", groups=["p"])
    for mrid in MRIDS[:3]:
        asked.board.add_curve(mrid, type=0, points=((0, 0),), mrid=mrid)
    asked.pass_s(1)
    for mrid in MRIDS[3:]:
        asked.board.add_curve(mrid, type=0, points=((0, 0),), mrid=mrid)
    asked.board.change_program("p", curves=MRIDS)

    expected = [*sorted(MRIDS[3:], reverse=True), *sorted(MRIDS[:3], reverse=True)]
    assert asked.get(ALICE, "/derp/1/dc?l=9").texts("DERCurve/mRID") == expected
    assert asked.get(ALICE, "/dc?l=9").texts("DERCurve/mRID") == expected


def test_usage_points_and_meters_come_by_mrid_downwards(asked: Asked) -> None:
    meters = "".join(
        f"<MirrorMeterReading><mRID>{mrid}</mRID><ReadingType/></MirrorMeterReading>"
        for mrid in MRIDS
    )
    for mrid in MRIDS:
        told = (
            f'<MirrorUsagePoint xmlns="{NAMESPACE}"><mRID>{mrid}</mRID><roleFlags>49</roleFlags>'
            "<serviceCategoryKind>0</serviceCategoryKind><status>1</status>"
            f"<deviceLFDI>{ALICE}</deviceLFDI>{meters}</MirrorUsagePoint>"
        )
        assert asked.ask(ALICE, "POST", "/mup", told, content_type=MEDIA).status == 201

    assert asked.get(ALICE, "/mup?l=9").texts("MirrorUsagePoint/mRID") == DOWNWARDS
    assert asked.get(ALICE, "/upt?l=9").texts("UsagePoint/mRID") == DOWNWARDS
    assert asked.get(ALICE, "/upt/1/mr?l=9").texts("MeterReading/mRID") == DOWNWARDS


def test_responses_come_newest_first(asked: Asked) -> None:
    times = list(range(20))
    random.Random(7).shuffle(times)
    for time in times:
        asked.board.respond(subject="0A", lfdi=ALICE, status=1, time=time)

    found = asked.get(ALICE, "/rsps/1/r?l=99").texts("Response/createdDateTime")
    assert [int(time) for time in found] == sorted(times, reverse=True)
