"""AdamW with warm-up and cosine decay, and an exponential moving average of the parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from cpi_jax.errors import InputError
from cpi_jax.validation.ranges import validate_numbers


class TrainState(NamedTuple):
    """Everything that a step changes; a pytree."""

    step: jax.Array
    params: Any
    ema: Any
    optimizer: Any


def make_optimizer(
    learning_rate: float, num_steps: int, *, warmup: int, final: float = 0.0, b2: float = 0.99, decay: float = 1e-3
) -> optax.GradientTransformation:
    """AdamW under a linear warm-up and a cosine to `final`, gradients clipped at global norm 1.

    Raises:
      InputError: for a warm-up that is not shorter than the training.
    """
    validate_numbers(learning_rate=learning_rate, warmup=warmup, num_steps=num_steps, final=final)
    if warmup >= num_steps:
        raise InputError(f"the warm-up of {warmup} steps must be shorter than the training of {num_steps}")
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, warmup, num_steps, end_value=final)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, b2=b2, weight_decay=decay))


def init_state(params: Any, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step; the average starts at the parameters, in buffers of its own."""
    return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), optimizer.init(params))


def apply_gradients(
    state: TrainState, gradients: Any, optimizer: optax.GradientTransformation, ema_decay: float
) -> TrainState:
    """One update; the average warms up as (1 + step) / (10 + step) until it reaches `ema_decay`."""
    updates, opt_state = optimizer.update(gradients, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    d = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
    ema = jax.tree.map(lambda e, p: d * e + (1 - d) * p, state.ema, params)
    return TrainState(state.step + 1, params, ema, opt_state)
