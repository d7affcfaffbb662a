"""The present state, as the model is asked for it."""

from ems.domain import Forecast, Injections, Snapshot


def present_state(snapshot: Snapshot, forecast: Forecast) -> Injections:
    """The operating point that is measured.

    Where the load meter shows no reactive power, the forecast's power factor holds; where that
    has none either, the feeder file's.
    """
    kvar = snapshot.load.q_kvar
    if kvar is None and forecast.load_kvar is not None and forecast.load_kw:
        kvar = forecast.load_kvar * snapshot.load.p_kw / forecast.load_kw
    return Injections(
        p_kw={name: reading.p_kw for name, reading in snapshot.ders.items()},
        q_kvar={name: reading.q_kvar for name, reading in snapshot.ders.items()},
        load_kw=snapshot.load.p_kw,
        load_kvar=kvar,
        head_v_pu=snapshot.head_v_pu,
        regulation=snapshot.regulation,
    )
