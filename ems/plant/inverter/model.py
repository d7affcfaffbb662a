"""EPRI's OpenDER (IEEE 1547-2018 OpenDER Model, report 3002030962), made ready for our plant.

What is not obvious about the library, and handled here:

- its time step is one number for the whole process (`DER.t_s`): all inverters step 1 s;
- a nameplate that is given in part is completed from a 100 kVA example without a word, so all of
  it is given;
- building one reads two CSV files (4 ms), so these are read once and copied;
- every timer stands at its end in a new model, so that an abnormal voltage in the first step trips
  it at once: a first second under a nominal grid lets them start at zero;
- it copies 80 settings in every step: here only after one has changed;
- it reports through the root logger, which would set up the host's logging: here through one of
  its own name.
"""

import copy
import logging
import sys
import zlib
from functools import lru_cache
from types import ModuleType
from typing import Any

from opender import DER, DER_BESS, DER_PV, DERCommonFileFormat, DERCommonFileFormatBESS
from opender.op_cond_proc import DERInputs

from ems.domain import Bes, Pv
from ems.plant.devices import PowerFactor
from ems.plant.inverter.opender_names import as_opender, give_nameplate
from ems.plant.inverter.settings import InverterSettings
from ems.plant.terminal import NOMINAL, Terminal

STEP_S = 1.0
"""Time step of all inverters [s]."""
DER.t_s = STEP_S
LARGEST_RANDOM_VA = 500e3
"""Rating up to which a random delay may take the place of the ramp, 4.10.3 [VA]."""

# Its warnings are about nameplates that are right here, and about a full battery every second.
logging.getLogger("opender").setLevel(logging.ERROR)


def _log_under_its_own_name() -> None:
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "opender" and isinstance(
            getattr(module, "logging", None), ModuleType
        ):
            module.logging = logging.getLogger("opender")  # type: ignore[attr-defined]  # see above


_log_under_its_own_name()


class _Felt(DERInputs):  # type: ignore[misc]  # the library has no types
    """Voltages per unit as they come, with the extremes of the phases.

    In the place of the library's symmetrical components of equations 3.3.1-1 to 3.3.1-7: the plant
    knows magnitudes. Volt-var and volt-watt respond to the mean of the phases, trip and enter
    service to the extremes, as there. Nothing is rounded, so that 1.10 pu is not above 1.10 pu.
    """

    at: Terminal = NOMINAL

    def operating_condition_input_processing(self) -> None:
        at = self.at
        self.v_pos_pu, self.v_neg_pu, self.v_zero_pu, self.v_angle = complex(at.v_pu), 0, 0, 0.0
        self.v_meas_pu, self.v_high_pu, self.v_low_pu = at.v_pu, at.highest_pu, at.lowest_pu
        self.freq_hz = at.hz
        if self.p_dem_w is None:
            self.p_avl_pu = self.p_dc_w / self.der_file.NP_P_MAX
        else:
            self.p_dem_pu, self.p_avl_pu = self.p_dem_w / self.der_file.NP_P_MAX, 1.0


class _OnChange:
    """Settings take effect after one has changed, not in every step."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.changed = True

    def mode_and_execution_delay(self) -> None:
        if self.changed:
            self._real.mode_and_execution_delay()
            self.changed = False


@lru_cache(maxsize=2)
def _example(kind: type[DERCommonFileFormat]) -> Any:
    """The library's example, read from its files once."""
    return kind()


def apparent_kva(der: Pv | Bes) -> float:
    """Apparent power rating: as the site file says, or large enough for all of P and Q [kVA]."""
    return der.s_max_kva or float((der.rated_kw**2 + der.q_max_kvar**2) ** 0.5)


class OpenDer:
    """One OpenDER model. Powers in kW and kvar, one second at a time."""

    def __init__(self, der: Pv | Bes) -> None:
        """In service, under a nominal grid, delivering nothing.

        Args:
            der: gives the nameplate.
        """
        battery = isinstance(der, Bes)
        file = copy.copy(_example(DERCommonFileFormatBESS if battery else DERCommonFileFormat))
        self._va = apparent_kva(der) * 1000
        self._rated_kw = der.rated_kw
        self._draw = zlib.crc32(der.name.encode()) / 2**32
        give_nameplate(file, der, self._va)
        self._file = file
        self._model: Any = (DER_BESS if battery else DER_PV)(file)
        # Q is there at any power: what the site file's q_max_kvar says.
        file.NP_Q_CAPABILITY_LOW_P = "SAME"
        file.initialize_NP_Q_CAPABILTY_BY_P_CURVE()
        self._felt = self._model.der_input
        self._felt.__class__ = _Felt  # all parts of the model hold this very object
        self._settings = self._model.exec_delay = _OnChange(self._model.exec_delay)
        self.hold_var(0.0)
        if battery:
            self.discharge(0.0, 50.0)
        else:
            self.offer(0.0)
        self.second(NOMINAL)

    # --- what it is told -------------------------------------------------------------

    def offer(self, available_kw: float) -> None:
        """What the sun offers a PV inverter [kW]."""
        ramp = self._model.activepowerfunc.p_es_pu
        if self._file.AP_LIMIT_ENABLE and self._file.PV_MODE_ENABLE and ramp is not None:
            # With both on, its equation 3.7.1-18 leaves out the ramp of enter service.
            available_kw = min(available_kw, ramp * self._rated_kw)
        self._felt.p_dc_w = available_kw * 1000

    def discharge(self, p_kw: float, soc_pct: float) -> None:
        """What a battery is asked for [kW], and its state of charge [%].

        The state of charge is ours to count, with the efficiency of each direction; the model
        keeps its limits.
        """
        self._felt.p_dem_w = p_kw * 1000
        low, high = self._file.NP_BESS_SOC_MIN, self._file.NP_BESS_SOC_MAX
        self._model.bessspecific.soc_calc.bess_soc = min(max(soc_pct / 100, low), high)

    def limit(self, cap_kw: float | None) -> None:
        """Cap on the active power of a PV inverter; None: no cap [kW].

        A battery's demand is clamped by its caller: with volt-watt on, equation 3.7.3-7 would
        deliver the cap and forget the demand.
        """
        share = 1.0 if cap_kw is None else cap_kw / self._rated_kw
        self._set("AP_LIMIT", share)
        self._set("AP_LIMIT_ENABLE", cap_kw is not None)

    def hold_var(self, q_kvar: float) -> None:
        """Constant reactive power [kvar]; per unit of the apparent power rating inside."""
        self._set("CONST_Q", q_kvar * 1000 / self._va)
        self._q_mode("CONST_Q_MODE_ENABLE")

    def hold_power_factor(self, setting: PowerFactor, *, charging: bool) -> None:
        """Constant power factor. The library's excitation is that of injected active power."""
        self._set("CONST_PF", setting.pf)
        self._set("CONST_PF_EXCITATION", "INJ" if setting.over_excited != charging else "ABS")
        self._q_mode("CONST_PF_MODE_ENABLE")

    def follow_curve(self, settings: InverterSettings) -> None:
        """Volt-var or watt-var, whichever is enabled."""
        self._q_mode("QV_MODE_ENABLE" if settings.volt_var.enabled else "QP_MODE_ENABLE")

    def apply(self, settings: InverterSettings) -> None:
        """Set all autonomous functions, except which one gives the reactive power."""
        for name, value in as_opender(settings, battery=isinstance(self._model, DER_BESS)).items():
            self._set(name, value)
        # Drawn once and for all by its name: the library would draw anew from the global generator.
        random = settings.enter_service.ramp_s == 0.0 and self._va < LARGEST_RANDOM_VA
        drawn_s = settings.enter_service.random_s * self._draw if random else 0.0
        self._set("ES_RANDOMIZED_DELAY_ACTUAL", drawn_s)
        if not settings.droop.enabled:
            # Switched off while it acts, the library's droop would stay active, at 0 kW for ever.
            droop = self._model.activepowerfunc.freqdroop
            droop.pf_of_active_ff.ff_out_prev = droop.pf_uf_active_ff.ff_out_prev = 0

    def second(self, at: Terminal) -> tuple[float, float]:
        """Live through one second; P and Q at its end [kW], [kvar]."""
        self._felt.at = at
        p_w, q_var = self._model.run()
        return float(p_w) / 1000 + 0.0, float(q_var) / 1000 + 0.0  # nothing is 0, never −0

    # --- what it shows ---------------------------------------------------------------

    @property
    def status(self) -> str:
        """Its operating status, in the words of the standard."""
        return str(self._model.der_status)

    @property
    def trips(self) -> tuple[bool, bool, bool, bool]:
        """Which trip is met: high voltage, low voltage, high frequency, low frequency."""
        crit = self._model.opstatus.tripcrit
        return (
            bool(crit.ov1_trip or crit.ov2_trip),
            bool(crit.uv1_trip or crit.uv2_trip),
            bool(crit.of1_trip or crit.of2_trip),
            bool(crit.uf1_trip or crit.uf2_trip),
        )

    @property
    def service_delay_s(self) -> float:
        """What is left of the enter service delay while it is tripped [s]."""
        if self.status != "Trip":
            return 0.0
        waited = self._model.opstatus.enterservicecrit.vft_delay.con_del_enable_int
        return max(0.0, float(self._file.ES_DELAY - waited))

    def trip(self) -> None:
        """Stand out of service, as after power-up: it enters service by its settings."""
        self._model.opstatus.der_status = self._model.der_status = "Trip"
        waiting = self._model.opstatus.enterservicecrit.vft_delay
        waiting.con_del_enable_int, waiting.con_del_enable_out = 0.0, 0

    # ---------------------------------------------------------------------------------

    def _set(self, name: str, value: float | bool | str) -> None:
        if getattr(self._file, name) != value:
            setattr(self._file, name, value)
            self._settings.changed = True

    def _q_mode(self, name: str) -> None:
        """Enable one of the four reactive modes; the library turns the others off."""
        self._set(name, True)
