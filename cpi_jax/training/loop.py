"""The training loop: data-parallel steps over all devices, logged, checkpointed with orbax, resumed exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
from absl import logging
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cpi_jax.errors import InputError
from cpi_jax.training.optimizer import TrainState, apply_gradients, init_state

Loss = Callable[[Any, Any, jax.Array], jax.Array]


def fit(
    name: str,
    params: Any,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    draw_batch: Callable[[jax.Array, Any], Any],
    data: Any,
    *,
    num_steps: int,
    batch_size: int,
    seed: int,
    workdir: str | Path,
    ema_decay: float = 0.999,
    log_every: int = 100,
    save_every: int = 500,
    on_save: Callable[[int, Any], None] | None = None,
) -> Any:
    """Trains and returns the averaged parameters.

    Step s depends on (seed, s) and the state alone, so a run that was stopped and resumed repeats an uninterrupted one.

    Args:
      name: what is trained; names the log lines and the checkpoint folder under `workdir`.
      params: initial parameters.
      optimizer: an optax transformation.
      loss: (params, batch, keys [B]) -> per-example losses [B].
      draw_batch: (key, data) -> a pytree of arrays [batch_size, ...]; runs on device within the step.
      data: a pytree of arrays kept on every device.
      num_steps: the step at which training ends.
      batch_size: B, over all devices together; a multiple of their number.
      seed: of the batches.
      workdir: where the checkpoints live.
      ema_decay: of the averaged parameters.
      log_every: steps between log lines.
      save_every: steps between checkpoints.
      on_save: called with (step, averaged parameters) after each checkpoint: samples, scores, exports.
    """
    devices = jax.devices()
    if batch_size % len(devices):
        raise InputError(f"the batch size {batch_size} is not a multiple of the {len(devices)} devices")
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,))
    step_fn = _make_step(optimizer, loss, draw_batch, batch_size, ema_decay, mesh)
    everywhere = NamedSharding(mesh, PartitionSpec())
    state, data = jax.device_put((init_state(params, optimizer), data), everywhere)
    options = ocp.CheckpointManagerOptions(max_to_keep=2)
    key = jax.random.key(seed)
    with ocp.CheckpointManager(Path(workdir).absolute() / name, options=options) as manager:
        if (latest := manager.latest_step()) is not None:
            state = manager.restore(latest, args=ocp.args.StandardRestore(state))
            logging.info("%s: resumed at step %d of %d", name, latest, num_steps)
            if latest >= num_steps and on_save is not None:
                on_save(latest, state.ema)  # the run may have ended between its checkpoint and this
        started, losses = time.monotonic(), []
        for step in range(int(state.step), num_steps):
            state, value = step_fn(state, key, data)
            # One step in flight: on several CPU devices, more of them starve each other's collectives of threads.
            losses.append(jax.block_until_ready(value))
            if (step + 1) % log_every == 0 or step + 1 == num_steps:
                mean = float(np.mean(jax.device_get(losses)))
                rate = len(losses) * batch_size / (time.monotonic() - started)
                logging.info("%s: step %d of %d, loss %.5f, %.0f images/s", name, step + 1, num_steps, mean, rate)
                if not np.isfinite(mean):
                    raise FloatingPointError(f"{name}: the loss is {mean} at step {step + 1}; lower the learning rate")
                started, losses = time.monotonic(), []
            if (step + 1) % save_every == 0 or step + 1 == num_steps:
                manager.save(step + 1, args=ocp.args.StandardSave(state))
                if on_save is not None:
                    on_save(step + 1, state.ema)
                    started = time.monotonic()
    return state.ema


def _make_step(optimizer, loss, draw_batch, batch_size, ema_decay, mesh):
    replicated, split = PartitionSpec(), PartitionSpec("data")

    def gradient(params, batch, key_data):
        keys = jax.random.wrap_key_data(key_data)
        value, gradients = jax.value_and_grad(lambda p: loss(p, batch, keys).mean())(params)
        return jax.lax.pmean((value, gradients), "data")

    sharded_gradient = jax.shard_map(
        gradient, mesh=mesh, in_specs=(replicated, split, split), out_specs=(replicated, replicated), check_vma=False
    )

    def step(state: TrainState, key, data):
        batch_key, noise_key = jax.random.split(jax.random.fold_in(key, state.step))
        keys = jax.random.key_data(jax.random.split(noise_key, batch_size))
        value, gradients = sharded_gradient(state.params, draw_batch(batch_key, data), keys)
        return apply_gradients(state, gradients, optimizer, ema_decay), value

    return jax.jit(step, donate_argnums=0)
