"""What the tests of `ems.explain` share: values put together by hand."""

from collections.abc import Mapping

import numpy as np

from ems.domain import Dispatch, LoadFlow, Verified


def flow_of(v_pu: Mapping[str, float]) -> LoadFlow:
    """A load flow that shows these voltages."""
    return LoadFlow(
        converged=True,
        residual_kw=0.0,
        nodes=tuple(v_pu),
        v_pu=np.array(list(v_pu.values())),
        elements=(),
        loading_pct=np.array([]),
        head_kw=0.0,
        head_kvar=0.0,
        losses_kw=0.0,
    )


def verified(dispatch: Dispatch, flow: LoadFlow | None = None) -> Verified:
    """A dispatch taken as proved."""
    return Verified(dispatch=dispatch, load_flow=flow or flow_of({"n0.1": 1.0}))
