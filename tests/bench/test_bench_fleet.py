"""What a fleet costs: start, one simulated second, memory; IEEE 1547 inverters, a server each."""

import json
import statistics
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.bench.table import tell

SIZES = (10, 100, 1000)
STEPS = 20
LONGEST_STEP_S = 1.0
"""A simulated second may take no longer, or a fleet cannot live in real time [s]."""

# argv: how many, event list. A process of its own, so that memory is the fleet's alone.
ONE_FLEET = textwrap.dedent("""
    import gc, json, logging, resource, sys, time
    from datetime import UTC, datetime
    from pathlib import Path
    from ems.plant.events import read_events
    from ems.plant.fleet import Fleet, ders_of
    from ems.plant.fleet_record import fleet_csv

    logging.disable(logging.WARNING)
    imported = time.process_time()
    ders = ders_of(int(sys.argv[1]), {"pv": 2, "bes": 1})
    events = read_events(Path(sys.argv[2]), [d.name for d in ders])
    fleet = Fleet(ders, datetime.now(UTC), events)
    built = time.process_time()
    fleet.start()
    started = time.process_time()
    gc.collect()
    gc.freeze()
    steps, cpu, records = [], [], []
    with fleet_csv(Path("/dev/null")) as record:
        for _ in range(int(sys.argv[3])):
            t, used = time.perf_counter(), time.process_time()
            fleet.step()
            stepped = time.perf_counter()
            cpu.append(time.process_time() - used)
            record.add(fleet, fleet.seen())
            steps.append(stepped - t)
            records.append(time.perf_counter() - stepped)
    fleet.stop()
    print(json.dumps({
        "build": built - imported, "serve": started - built,
        "steps": steps, "cpu": cpu, "records": records,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))
""")


def test_a_thousand_inverters_live_in_real_time(tmp_path: Path) -> None:
    events = tmp_path / "events.csv"
    events.write_text("time,der,voltage_pu,frequency_hz\n5,*,1.02,60.01\n8,pv1,0.4,\n")
    rows = []
    for size in SIZES:
        done = subprocess.run(
            [sys.executable, "-c", ONE_FLEET, str(size), str(events), str(STEPS)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        rows.append(
            {
                "DERs": size,
                "build CPU s": found["build"],
                "servers CPU s": found["serve"],
                "step ms": 1e3 * statistics.median(found["steps"]),
                "step CPU ms": 1e3 * statistics.median(found["cpu"]),
                "worst step ms": 1e3 * max(found["steps"]),
                "record ms": 1e3 * statistics.median(found["records"]),
                "peak MB": round(found["peak_mb"]),
            }
        )
    tell("fleet", rows)
    # The quickest: what else the machine did meanwhile is not the fleet's.
    assert min(found["steps"]) < LONGEST_STEP_S
