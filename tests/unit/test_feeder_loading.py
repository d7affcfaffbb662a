"""The engine in a process that goes on: threads come later, and variables of the environment."""

import subprocess
import sys

PROGRAM = """
import os, subprocess, threading

os.environ["FIRST"] = ""  # from here on the environment lies where the C library may free it
from feeders import Feeder, Injections

feeder = Feeder.open("segment13")
for k in range(1000):
    os.environ[f"LATER_{k}"] = "there"
taken = [b"\\xff" * size for size in range(64, 16384, 8)]  # what was freed holds other things
solved = []

def solve():
    solved.append(feeder.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=10_000.0)).converged)

thread = threading.Thread(target=solve)
thread.start()
thread.join()
print(solved, subprocess.check_output(["printenv", "FIRST", "LATER_999"], text=True).split())
"""


def test_a_thread_may_call_the_engine_after_the_environment_has_moved() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "[True] ['there']\n"), done.stderr
