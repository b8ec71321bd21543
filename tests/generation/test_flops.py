import jax
import jax.numpy as jnp
import pytest

from cpi_jax.generation.flops import count_flops


def test_products_convolutions_and_loops_are_counted():
    a, b = jnp.ones((3, 5, 4)), jnp.ones((3, 4, 7))
    assert count_flops(jax.make_jaxpr(jnp.matmul)(a, b)) == 2 * 3 * 5 * 4 * 7
    image, kernel = jnp.ones((2, 8, 8, 6)), jnp.ones((3, 3, 6, 10))

    def convolve(x, w):
        return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    once = 2 * 2 * 8 * 8 * 10 * 3 * 3 * 6
    assert count_flops(jax.make_jaxpr(convolve)(image, kernel)) == once

    def steps(x, w):
        return jax.lax.scan(lambda c, _: (jax.jit(convolve)(c, w)[..., :6], None), x, None, length=8)[0]

    assert count_flops(jax.make_jaxpr(steps)(image, kernel)) == 8 * once
    branch = jax.make_jaxpr(lambda p, x, y: jax.lax.cond(p, lambda: x @ y, lambda: x[:, :, :1] * y[:, :1]))(True, a, b)
    assert count_flops(branch) == 2 * 3 * 5 * 4 * 7


def test_grouped_convolutions_count_their_own_channels():
    def convolve(x, w):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=2)

    found = count_flops(jax.make_jaxpr(convolve)(jnp.ones((1, 4, 4, 6)), jnp.ones((1, 1, 3, 10))))
    assert found == pytest.approx(2 * 16 * 10 * 3)
