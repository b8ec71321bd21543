import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.networks import attention
from cpi_jax.networks.attention import attend, attention_kernel


def by_hand(query, key, value, scale):
    logits = np.einsum("bqhd,bkhd->bhqk", query, key, dtype=np.float64) * scale
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.einsum("bhqk,bkhd->bqhd", weights / weights.sum(-1, keepdims=True), value)


def some(dtype):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=(2, n, 3, 8)), dtype) for n in (11, 7, 7)]


def test_attention_is_the_softmax_of_products():
    query, key, value = some(jnp.float32)
    np.testing.assert_allclose(attend(query, key, value, 0.3), by_hand(query, key, value, 0.3), atol=1e-6)


def test_causal_attention_sees_no_token_behind_the_querys():
    query, key, value = some(jnp.float32)
    found = attend(query[:, :7], key, value, 0.3, causal=True)
    for n in range(7):
        expected = by_hand(query[:, n : n + 1], key[:, : n + 1], value[:, : n + 1], 0.3)
        np.testing.assert_allclose(found[:, n : n + 1], expected, atol=1e-6)


def test_softmax_is_float32_where_the_inputs_are_bfloat16():
    """Logits near 100 differ by less than a bfloat16 can tell (.5); their softmax must not be rounded first."""
    query = jnp.ones((1, 1, 1, 8), jnp.bfloat16)
    logits = np.array([[100.0, 0.0], [100.0, 0.25], [100.0, -0.25]])  # two summands each, exact in bfloat16
    key = jnp.asarray(np.pad(logits, ((0, 0), (0, 6)))[None, :, None], jnp.bfloat16)
    value = jnp.zeros((1, 3, 1, 8), jnp.bfloat16).at[0, 1, 0, 0].set(1.0)
    exact = 1 / (1 + np.exp(-0.25) + np.exp(-0.5))
    assert abs(float(attend(query, key, value, 1.0)[0, 0, 0, 0]) - exact) < 2e-3


@dataclasses.dataclass
class Device:
    platform: str
    compute_capability: str = ""


HOPPER, AMPERE, TURING = Device("gpu", "9.0"), Device("gpu", "8.0"), Device("gpu", "7.5")
CASES = [
    (HOPPER, jnp.bfloat16, 40, 4096, "cudnn"),
    (HOPPER, jnp.bfloat16, 160, 1024, "cudnn"),
    (HOPPER, jnp.bfloat16, 40, 1023, "xla"),  # few tokens
    (HOPPER, jnp.bfloat16, 512, 4096, "xla"),  # the autoencoder's head
    (HOPPER, jnp.bfloat16, 20, 4096, "xla"),  # not a multiple of eight
    (HOPPER, jnp.float32, 40, 4096, "xla"),
    (AMPERE, jnp.float16, 80, 4096, "cudnn"),
    (AMPERE, jnp.bfloat16, 160, 1024, "xla"),
    (TURING, jnp.float16, 40, 4096, "xla"),
    (Device("gpu", "gfx90a"), jnp.bfloat16, 40, 4096, "xla"),
    (Device("cpu"), jnp.bfloat16, 40, 4096, "xla"),
    (Device("tpu"), jnp.bfloat16, 40, 4096, "xla"),
]


@pytest.mark.parametrize("device, dtype, size, tokens, kernel", CASES)
def test_flash_attention_where_it_runs_and_pays(device, dtype, size, tokens, kernel):
    assert attention_kernel(device, jnp.dtype(dtype), size, tokens) == kernel


def test_the_chosen_kernel_is_for_its_platform_alone(monkeypatch):
    """A process with a GPU may still compile for another platform: there XLA's kernel runs."""
    plain, traced = jax.nn.dot_product_attention, []

    def recorded(q, k, v, *, scale, implementation, is_causal):
        assert not is_causal
        traced.append(implementation)
        return plain(q, k, v, scale=scale) if implementation == "xla" else jnp.zeros_like(q)

    monkeypatch.setattr(attention, "attention_kernel", lambda *_: "cudnn")
    monkeypatch.setattr(jax.nn, "dot_product_attention", recorded)
    query, key, value = some(jnp.float32)
    found = jax.jit(lambda *x: attention.attend(*x, 0.3))(query, key, value)
    assert sorted(traced) == ["cudnn", "xla"]
    np.testing.assert_allclose(found, by_hand(query, key, value, 0.3), atol=1e-6)
