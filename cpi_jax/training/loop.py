"""The training loop: data-parallel steps over all devices, logged, checkpointed with orbax, resumed exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from absl import logging
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cpi_jax.errors import InputError
from cpi_jax.training.optimizer import TrainState, apply_gradients, init_state
from cpi_jax.validation.ranges import RANGES, validate_numbers

Loss = Callable[..., jax.Array]  # (params, batch, keys [B]) -> [B]; and `frozen` where there is such
Draw = Callable[[jax.Array, Any], Any]  # (key, data) -> batch


def fit(
    name: str,
    params: Any,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    draw_batch: Draw,
    data: Any,
    *,
    num_steps: int,
    batch_size: int,
    seed: int,
    workdir: str | Path,
    ema_decay: float = 0.999,
    accumulate: int = 1,
    frozen: Any = None,
    log_every: int = 100,
    save_every: int = 500,
    on_save: Callable[[int, Any], bool | None] | None = None,
) -> Any:
    """Trains and returns the averaged parameters.

    Step s depends on (seed, s) and the state alone, so a run that was stopped and resumed repeats an uninterrupted one.

    Args:
      name: what is trained; names the log lines and the checkpoint folder under `workdir`.
      params: initial parameters.
      optimizer: an optax transformation.
      loss: (params, batch, keys [B]) -> per-example losses [B]; with `frozen`, (params, batch, keys, frozen).
      draw_batch: (key, data) -> a pytree of arrays [batch_size, ...]; runs on device within the step.
      data: a pytree of arrays kept on every device.
      num_steps: the step at which training ends.
      batch_size: B, over all devices together; a multiple of their number times `accumulate`.
      seed: of the batches.
      workdir: where the checkpoints live.
      ema_decay: of the averaged parameters.
      accumulate: parts that each device does its share of a batch in, one after the other: less memory, the same step.
      frozen: a pytree that the loss reads and training leaves alone; kept on every device, in no checkpoint.
      log_every: steps between log lines.
      save_every: steps between checkpoints.
      on_save: called with (step, averaged parameters) after each checkpoint, and after resuming from one: samples, scores,
        exports. Training ends where it returns True.

    Raises:
      InputError: for a batch that cannot be shared out, a loss that is no number (no such state is ever saved), or a
        checkpoint under `workdir` that is damaged.
    """
    RANGES["train.batch_size"].validate("batch_size", batch_size)
    validate_numbers(
        num_steps=num_steps, ema_decay=ema_decay, accumulate=accumulate, log_every=log_every, save_every=save_every
    )
    devices = jax.devices()
    if batch_size % (len(devices) * accumulate):
        parts = f"{len(devices)} devices" + (f" times {accumulate} parts" if accumulate > 1 else "")
        raise InputError(f"the batch size {batch_size} is not a multiple of the {parts}")
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,))
    step_fn = _make_step(optimizer, loss, draw_batch, batch_size, ema_decay, accumulate, mesh)
    everywhere = NamedSharding(mesh, PartitionSpec())
    state, data, frozen = jax.device_put((init_state(params, optimizer), data, frozen), everywhere)
    options = ocp.CheckpointManagerOptions(max_to_keep=2)
    key = jax.random.key(seed)
    with ocp.CheckpointManager(Path(workdir).absolute() / name, options=options) as manager:
        if (latest := manager.latest_step()) is not None:
            state = _restore(manager, latest, state)
            logging.info("%s: resumed at step %d of %d", name, latest, num_steps)
            # The run may have ended between its checkpoint and this.
            if on_save is not None and on_save(latest, state.ema):
                return state.ema
        started, losses = time.monotonic(), []
        for step in range(int(state.step), num_steps):
            state, value = step_fn(state, key, data, frozen)
            # One step in flight: on several CPU devices, more of them starve each other's collectives of threads.
            losses.append(float(value))
            last, due = step + 1 == num_steps, (step + 1) % save_every == 0
            if not np.isfinite(losses[-1]) or ((last or due) and not _all_finite(state)):
                kept = manager.latest_step()
                raise InputError(
                    f"{name}: the loss or the weights are no longer finite at step {step + 1}; "
                    + (f"the checkpoint of step {kept} is kept" if kept else "no checkpoint was made")
                    + ". Lower the learning rate, in a new --workdir"
                )
            if (step + 1) % log_every == 0 or last:
                rate = len(losses) * batch_size / (time.monotonic() - started)
                mean = float(np.mean(losses))
                logging.info("%s: step %d of %d, loss %.5f, %.0f images/s", name, step + 1, num_steps, mean, rate)
                started, losses = time.monotonic(), []
            if last or due:
                manager.save(step + 1, args=ocp.args.StandardSave(state))
                if on_save is not None:
                    if on_save(step + 1, state.ema):
                        break
                    started = time.monotonic()
    return state.ema


def _restore(manager: ocp.CheckpointManager, step: int, state: TrainState) -> TrainState:
    """The state that a checkpoint holds, in the shapes and on the devices of `state`."""
    folder = Path(manager.directory) / str(step)
    try:
        restored = manager.restore(step, args=ocp.args.StandardRestore(state))
    except Exception as error:  # its kinds differ between releases
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"the checkpoint {folder} cannot be read: {reason}; remove it, and the training goes on from the one before"
        ) from error
    if not _all_finite(restored):
        raise InputError(f"the checkpoint {folder} holds numbers that are NaN or infinite: remove it")
    return restored


def _make_step(
    optimizer: optax.GradientTransformation,
    loss: Loss,
    draw_batch: Draw,
    batch_size: int,
    ema_decay: float,
    accumulate: int,
    mesh: Mesh,
) -> Callable[[TrainState, jax.Array, Any, Any], tuple[TrainState, jax.Array]]:
    replicated, split = PartitionSpec(), PartitionSpec("data")

    def of_part(params: Any, frozen: Any, batch: Any, key_data: jax.Array) -> tuple[jax.Array, Any]:
        extra = () if frozen is None else (frozen,)
        keys = jax.random.wrap_key_data(key_data)
        return jax.value_and_grad(lambda p: loss(p, batch, keys, *extra).mean())(params)

    def gradient(params: Any, frozen: Any, batch: Any, key_data: jax.Array) -> tuple[jax.Array, Any]:
        if accumulate == 1:
            return jax.lax.pmean(of_part(params, frozen, batch, key_data), "data")
        parts = jax.tree.map(lambda x: x.reshape(accumulate, -1, *x.shape[1:]), (batch, key_data))

        def add(total: Any, part: tuple) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, of_part(params, frozen, *part)), None

        zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        total, _ = jax.lax.scan(add, zero, parts)
        return jax.lax.pmean(jax.tree.map(lambda x: x / accumulate, total), "data")

    specs = (replicated, replicated, split, split)
    sharded_gradient = jax.shard_map(gradient, mesh=mesh, in_specs=specs, out_specs=(replicated,) * 2, check_vma=False)

    def step(state: TrainState, key: jax.Array, data: Any, frozen: Any) -> tuple[TrainState, jax.Array]:
        batch_key, noise_key = jax.random.split(jax.random.fold_in(key, state.step))
        keys = jax.random.key_data(jax.random.split(noise_key, batch_size))
        value, gradients = sharded_gradient(state.params, frozen, draw_batch(batch_key, data), keys)
        return apply_gradients(state, gradients, optimizer, ema_decay), value

    return jax.jit(step, donate_argnums=0)


def _all_finite(tree: Any) -> bool:
    # Leaf by leaf: one program of all leaves takes longer to compile than the training step.
    return all(jax.device_get([_finite(leaf) for leaf in jax.tree.leaves(tree)]))


@jax.jit
def _finite(leaf: jax.Array) -> jax.Array:
    return jnp.isfinite(leaf).all()
