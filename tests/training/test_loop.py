import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cpi_jax.errors import InputError
from cpi_jax.training.loop import fit
from cpi_jax.training.optimizer import make_optimizer

DATA = jnp.linspace(-1, 1, 40)[:, None]


def train(workdir, num_steps, optimizer=None, **kwargs):
    """A line through points: y = 3 x, with noise in the targets."""

    def loss(params, x, keys):
        noise = 0.1 * jax.vmap(lambda k: jax.random.normal(k, (1,)))(keys)
        return ((x * params["w"] - 3 * x + noise) ** 2)[:, 0]

    def draw(key, data):
        return data[jax.random.randint(key, (8,), 0, len(data))]

    return fit(
        "line",
        {"w": jnp.zeros(())},
        optimizer or optax.sgd(0.3),
        loss,
        draw,
        DATA,
        num_steps=num_steps,
        batch_size=8,
        seed=3,
        workdir=workdir,
        **kwargs,
    )


def test_finds_the_line(tmp_path):
    assert abs(float(train(tmp_path, 200, ema_decay=0.9)["w"]) - 3) < 0.1


def test_a_resumed_run_repeats_an_uninterrupted_one(tmp_path):
    whole = train(tmp_path / "whole", 30, save_every=10)
    train(tmp_path / "parts", 20, save_every=10)
    np.testing.assert_array_equal(train(tmp_path / "parts", 30, save_every=10)["w"], whole["w"])


def test_the_first_step_is_plain_gradient_descent(tmp_path):
    seen = {}
    train(tmp_path, 1, ema_decay=0.9, save_every=1, on_save=lambda step, ema: seen.update({step: float(ema["w"])}))
    batch_key, noise_key = jax.random.split(jax.random.fold_in(jax.random.key(3), 0))
    x = np.asarray(DATA[jax.random.randint(batch_key, (8,), 0, 40), 0])
    noise = np.asarray([0.1 * jax.random.normal(k, (1,))[0] for k in jax.random.split(noise_key, 8)])
    w = -0.3 * np.mean(2 * x * (-3 * x + noise))
    assert abs(seen[1] - 0.9 * w) < 1e-6  # the average starts at 0 with weight 1 / 10


def test_the_optimiser_warms_up_and_decays():
    optimizer = make_optimizer(0.1, 100, warmup=10, final=0.01, decay=0.0)
    state, sizes = optimizer.init(jnp.ones(1)), []
    for _ in range(100):
        update, state = optimizer.update(jnp.ones(1), state, jnp.ones(1))
        sizes.append(float(-update[0]))
    np.testing.assert_allclose(sizes[:11], np.linspace(0, 0.1, 11), atol=1e-3)
    assert abs(sizes[-1] - 0.01) < 1e-3


def test_a_diverging_run_stops_with_a_reason(tmp_path):
    with pytest.raises(InputError, match="Lower the learning rate"):
        train(tmp_path, 400, optax.sgd(1e4), log_every=100)


def test_a_warm_up_longer_than_the_training_is_refused():
    with pytest.raises(InputError, match="warm-up of 10 steps must be shorter than the training of 10"):
        make_optimizer(0.1, 10, warmup=10)
