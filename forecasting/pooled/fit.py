"""Fitting the pooled network, in the child process of a training.

All that comes out depends on the task alone: random numbers are drawn anew for each source,
member and epoch from the seed, so a training that was broken off goes on to the same weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from forecasting.clearsky import Floats
from forecasting.data.sources import TrainingSource, read_source_rows
from forecasting.paper.lstm import Exported, export, load_keras
from forecasting.pooled import network
from forecasting.pooled.checkpoint import Checkpoints, State
from forecasting.pooled.samples import Samples, SiteSamples, joined, site_samples, without_thirds

_BATCH = 512
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-3
_LAST_RATE = 0.02  # of the first: a cosine that ends in small steps needs no averaging of weights
_PATIENCE = 4

# Of the samples with telemetry of 5 minutes, so that one network also serves plants without.
_WITHOUT_THIRDS = 0.3

# Shuffled samples are copied in this many parts, not all at once.
_PARTS = 8

_PARITY_VECTORS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is trained."""

    seed: int = 1
    epochs: int = 5
    members: int = 2
    """Networks of different seeds whose mean is the model."""
    ghi_plants: int = 18
    """Plants each series of irradiance is seen by."""
    power_plants: int = 6
    """Configurations each series of power is seen with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledTask:
    """What the child does."""

    sources: tuple[TrainingSource, ...]
    checksums: tuple[str, ...]
    """SHA-256 of the files of the sources."""
    plan: Plan
    left_out: tuple[int | None, ...]
    """One training each: the source it does without, None for the model itself."""
    checkpoint: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """An epoch is done."""

    training: int
    """Place in `PooledTask.left_out`."""
    member: int
    epoch: int
    """Counted from 1."""
    rmse: float
    """On the validation samples, share of the rating [1]."""
    resumed: bool
    """Whether it was done before the training was broken off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One model."""

    exported: Exported
    parameters: int
    epochs: tuple[int, ...]
    """Run for each member; the weights are those of the best."""
    rmse: float
    """On the validation samples, mean of the members' best, share of the rating [1]."""
    samples: int
    """Trained on."""
    versions: dict[str, str]


def work(task: PooledTask, tell: Callable[[Any], None]) -> list[Trained]:
    """Train all models of a task; tells each `Epoch`.

    Raises:
        SeriesFault: some file is wrong.
        TrainingFault: TensorFlow is not installed.
        ParityFault: a converted model answers otherwise than the trained one.
    """
    keras, versions = load_keras()
    _use_two_threads()
    plan = task.plan
    sites = [
        site_samples(
            rows,
            plan.ghi_plants if rows.source.quantity == "ghi_wm2" else plan.power_plants,
            [plan.seed, number],
        )
        for number, rows in enumerate(read_source_rows(task.sources))
    ]
    found: list[Trained] = []
    for number, without in enumerate(task.left_out):
        used = [site for i, site in enumerate(sites) if i != without]
        kept = Checkpoints(task.checkpoint, _depends_on(task, without, versions))
        name = "model" if without is None else f"without_{without}"

        def report(epoch: Epoch, number: int = number) -> None:
            tell(replace(epoch, training=number))

        trained = _train(keras, used, plan, kept, name, report)
        found.append(replace(trained, versions=versions))
    return found


def _use_two_threads() -> None:
    """Two cores at most: the service may run beside. Results do not depend on it."""
    import tensorflow as tf  # noqa: PLC0415  training only

    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _depends_on(task: PooledTask, without: int | None, versions: dict[str, str]) -> dict[str, Any]:
    plants = [
        (checksum, s.quantity, repr(s.geometry), s.column)
        for i, (s, checksum) in enumerate(zip(task.sources, task.checksums, strict=True))
        if i != without
    ]
    return {"plan": repr(task.plan), "plants": plants, "without": without, "versions": versions}


def _train(
    keras: Any,
    sites: Sequence[SiteSamples],
    plan: Plan,
    kept: Checkpoints,
    name: str,
    report: Callable[[Epoch], None],
) -> Trained:
    training = joined(s.training for s in sites)
    rng = np.random.default_rng([plan.seed, len(sites)])
    validation = without_thirds(joined(s.validation for s in sites), 0.5, rng)
    scales = network.spread(training.x)
    # Layers are numbered per process, and their names end up in the artefact's checksum.
    keras.utils.clear_session()
    members, states = [], []
    for member in range(plan.members):
        model, state = _member(
            keras, training, validation, scales, plan, member, kept, f"{name}_{member}", report
        )
        members.append(model)
        states.append(state)
    model = network.together(keras, members)
    return Trained(
        exported=export(model, validation.x, vectors=_PARITY_VECTORS),
        parameters=int(model.count_params()),
        epochs=tuple(s.epoch for s in states),
        rmse=float(np.mean([s.errors[int(np.argmin(s.losses))] for s in states])),
        samples=len(training),
        versions={},
    )


def _member(
    keras: Any,
    training: Samples,
    validation: Samples,
    scales: Floats,
    plan: Plan,
    member: int,
    kept: Checkpoints,
    name: str,
    report: Callable[[Epoch], None],
) -> tuple[Any, State]:
    """One network after its best epoch."""
    keras.utils.set_random_seed(plan.seed * 1000 + member)
    model = network.build(keras, scales)
    parts = -(-len(training) // _PARTS)
    steps = _PARTS * -(-parts // _BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        _LEARNING_RATE, steps * plan.epochs, alpha=_LAST_RATE
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=_WEIGHT_DECAY, global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, loss=network.loss(keras))
    state = kept.last(name) or State(
        epoch=0, losses=(), errors=(), variables=(), optimizer=(), best=()
    )
    for number, error in enumerate(state.errors, start=1):
        report(Epoch(training=0, member=member, epoch=number, rmse=error, resumed=True))
    if state.epoch:
        _assign(model.variables, state.variables)
        _assign(optimizer.variables, state.optimizer)
    while not _is_over(state, plan.epochs):
        _epoch(model, training, np.random.default_rng([plan.seed, member, state.epoch]))
        state = _judged(model, validation, state)
        kept.keep(name, state)
        error = state.errors[-1]
        report(Epoch(training=0, member=member, epoch=state.epoch, rmse=error, resumed=False))
    _assign(model.variables, state.best)
    return model, state


def _epoch(model: Any, training: Samples, rng: np.random.Generator) -> None:
    """Go once through all samples, in an order of its own."""
    for part in np.array_split(rng.permutation(len(training)), _PARTS):
        shown = without_thirds(training.part(part), _WITHOUT_THIRDS, rng)
        model.fit(
            shown.x,
            shown.y,
            sample_weight=shown.weight,
            batch_size=_BATCH,
            epochs=1,
            shuffle=False,
            verbose=0,
        )


def _judged(model: Any, validation: Samples, state: State) -> State:
    """The state after one more epoch."""
    x, y, weight = validation.x, validation.y, validation.weight
    loss = float(model.evaluate(x, y, sample_weight=weight, batch_size=8192, verbose=0))
    mean = model.predict(x, batch_size=8192, verbose=0)[:, 0].clip(0.0, 1.0)
    error = float(np.sqrt(np.mean((mean - validation.y[:, 0]) ** 2, dtype=np.float64)))
    variables = _values(model.variables)
    return State(
        epoch=state.epoch + 1,
        losses=(*state.losses, loss),
        errors=(*state.errors, error),
        variables=variables,
        optimizer=_values(model.optimizer.variables),
        best=variables if loss < min(state.losses, default=np.inf) else state.best,
    )


def _is_over(state: State, epochs: int) -> bool:
    """Whether all epochs were run, or the last ones made nothing better."""
    stale = state.epoch - (int(np.argmin(state.losses)) + 1) if state.losses else 0
    return state.epoch >= epochs or stale >= _PATIENCE


def _values(variables: Any) -> tuple[Any, ...]:
    return tuple(np.asarray(v) for v in variables)


def _assign(variables: Any, values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
