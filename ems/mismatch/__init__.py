"""Feedback from measurement: the model's voltages, corrected by those that are measured.

Every cycle solves the present state on the model and compares (`compare`). What the decision is
then proved on is the feeder with its voltages shifted by the difference (`corrected`), so that
rows, load flows and prices all see it. What lasts is told (`complaints`). The whole is a function
of values: the differences go into the record, and the next cycle takes them from there.
"""

from ems.mismatch.corrected import Corrected, corrected
from ems.mismatch.learning import compare, complaints
from ems.mismatch.present import present_state

__all__ = ["Corrected", "compare", "complaints", "corrected", "present_state"]
