"""Permutation of concepts across captions: vectorised index shuffles over tokenised slots."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray


def donors(key: PRNGKeyArray, strata: Int[Array, " n"]) -> Int[Array, " n"]:
    """A uniform shuffle of the examples within their strata.

    Args:
      key: of the shuffle; consumed.
      strata: stratum of each example, int32 [N]; all zero for a shuffle of everybody.

    Returns:
      int32 [N]: from which example each one receives. A permutation; fixed points occur.

    Example:
      >>> strata = jnp.array([0, 1, 0, 1, 0])
      >>> giver = donors(jax.random.key(0), strata)
      >>> sorted(giver.tolist()), bool((strata[giver] == strata).all())
      ([0, 1, 2, 3, 4], True)
    """
    places = jnp.lexsort((jnp.arange(strata.shape[0]), strata))
    shuffled = jnp.lexsort((jax.random.uniform(key, strata.shape), strata))
    return jnp.zeros_like(places).at[places].set(shuffled)


@jax.jit
def permute(
    key: PRNGKeyArray,
    tokens: Int[Array, "n k s"],
    mask: Bool[Array, " k"],
    strata: Int[Array, " n"] | None = None,
) -> Int[Array, "n k s"]:
    """Permutes the masked slots jointly across the examples and leaves the others in place.

    The permutation of concepts in captions of DEPICT (arXiv 2407.14509, section 3). The mask is an argument: another
    concept compiles nothing. Repeats are `jax.vmap` over keys.

    Args:
      key: of the shuffle; consumed.
      tokens: tokenised slots, int32 [N, K, S].
      mask: the slots to permute, bool [K].
      strata: permute within these groups only (conditional permutation), int32 [N]; None for all examples.

    Returns:
      int32 [N, K, S].

    Example:
      >>> tokens = jnp.array([[[1], [5]], [[2], [6]], [[3], [7]]])  # three captions of two slots
      >>> permuted = permute(jax.random.key(1), tokens, jnp.array([True, False]))
      >>> sorted(permuted[:, 0, 0].tolist()), permuted[:, 1, 0].tolist()
      ([1, 2, 3], [5, 6, 7])
    """
    if strata is None:
        strata = jnp.zeros(tokens.shape[0], jnp.int32)
    return jnp.where(mask[None, :, None], tokens[donors(key, strata)], tokens)
