"""A text-conditioned image generator as the rest of the package knows it: a pure function and its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from cpi_jax.captions.slots import Tokenizer
from cpi_jax.errors import InputError

AnyArray = Array | np.ndarray
MOST_TOKENS = 2**16  # of a caption


@struct.dataclass
class Sources:
    """The real pictures that a batch's images are anchored in; a pytree.

    Attributes:
      pictures: uint8 [S, H, W, 3].
      token_ids: their own captions, int32 [S, L].
      of_row: which of them each image of the batch is an edit of, int32 [B]; its images share one noise key.
      editable: which pixels of an image may differ from the image of its picture's own caption, bool [B, H, W]; None: all.

    Example:
      A generator that makes a picture lighter, whatever its caption says:

      >>> import cpi_jax, jax, jax.numpy as jnp, numpy as np
      >>> def lighten(params, token_ids, keys, sources):
      ...     return sources.pictures[sources.of_row] / 255 + params
      >>> generator = cpi_jax.Generator(0.25, lighten, source_size=(2, 2))
      >>> of_row = np.zeros(3, np.int32)  # three images of one picture
      >>> sources = cpi_jax.Sources(np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 4), np.int32), of_row)
      >>> images = cpi_jax.sample(generator, jnp.zeros((3, 4), jnp.int32), jax.random.split(jax.random.key(0), 3), sources)
      >>> images.shape, float(images.max())
      ((3, 2, 2, 3), 0.25)
    """

    pictures: UInt8[AnyArray, "s height width 3"]
    token_ids: Int[AnyArray, "s l"]
    of_row: Int[AnyArray, " b"]
    editable: Bool[AnyArray, "b height width"] | None = None


@struct.dataclass
class Generator:
    """A text-conditioned image generator: a pure function and its parameters; a pytree.

    Attributes:
      params: the function's parameters.
      apply: (params, token_ids int32 [B, L], noise keys [B]) -> images float32 [B, H, W, 3] in [0, 1]. Each image depends
        on its own row alone. One that is anchored in real pictures takes `Sources` besides.
      name: tells functions with the same parameters apart; part of what identifies a study.
      caption_length: L, the tokens of a caption with BOS, EOS and padding; None: the tokenizer's `model_max_length`.
      source_size: height and width of the real pictures that images are anchored in; None for a generator that takes none.
      within_masks: whether it heeds `Sources.editable`.

    Raises:
      InputError: for a caption length that is no whole number above 2 (BOS, a word, EOS).

    Example:
      A generator that paints images of 2 x 2 pixels, the brighter the larger the ids of the caption:

      >>> import cpi_jax, jax, jax.numpy as jnp
      >>> def paint(params, token_ids, keys):
      ...     return jnp.broadcast_to(params * token_ids.mean(1)[:, None, None, None], (len(keys), 2, 2, 3))
      >>> generator = cpi_jax.Generator(jnp.float32(0.1), paint, name="brightness", caption_length=4)
      >>> cpi_jax.sample(generator, jnp.array([[0, 1, 2, 1]]), jax.random.split(jax.random.key(0), 1)).shape
      (1, 2, 2, 3)
    """

    params: Any
    apply: Callable[..., jax.Array] = struct.field(pytree_node=False)
    name: str = struct.field(pytree_node=False, default="")
    caption_length: int | None = struct.field(pytree_node=False, default=None)
    source_size: tuple[int, int] | None = struct.field(pytree_node=False, default=None)
    within_masks: bool = struct.field(pytree_node=False, default=False)

    def __post_init__(self):
        length = self.caption_length
        whole = isinstance(length, int) and not isinstance(length, bool)
        if length is not None and not (whole and length > 2):
            raise InputError(f"caption_length must be a whole number above 2 (BOS, a word, EOS), not {length!r}")


def find_caption_length(generator: Generator, tokenizer: Tokenizer) -> int:
    """Tokens of a caption: as the generator says, else as the tokenizer does.

    Raises:
      InputError: where neither says it: transformers gives a tokenizer without a length one of 10^30.
    """
    length = generator.caption_length or tokenizer.model_max_length
    if length > MOST_TOKENS:
        raise InputError(
            f"neither generator nor tokenizer says how many tokens a caption has (model_max_length is {length:.3g}): say "
            "it, as in Generator(params, apply, caption_length=77)"
        )
    return length


def validate_within_masks(generator: Generator) -> None:
    """Refuses a generator that cannot keep its edits within masks.

    Raises:
      InputError: names the settings.
    """
    if not generator.within_masks:
        raise InputError(
            "within_masks is of sampler.anchor = 'edit_friendly', or of a generator of yours that heeds `Sources.editable` "
            "and says so (within_masks=True)"
        )


@jax.jit
def sample(
    generator: Generator, token_ids: Int[Array, "b l"], keys: Key[Array, " b"], sources: Sources | None = None
) -> Float[Array, "b height width 3"]:
    """Draws one image for each caption; runs under jit, vmap, shard_map and pmap.

    Args:
      generator: of the images; an argument like others, so that other parameters compile nothing.
      token_ids: of the captions, L tokens each (`assemble`).
      keys: of the noise (`noise_keys`); rows with the same key are the same scene.
      sources: the real pictures that the images are edits of, for a generator that is anchored in them.

    Returns:
      Images in [0, 1].

    Raises:
      InputError: for sources that are missing, or that the generator does not take.

    Example:
      >>> import cpi_jax, jax, jax.numpy as jnp
      >>> generator = cpi_jax.Generator(0.5, lambda params, ids, keys: jnp.full((len(ids), 8, 8, 3), params))
      >>> keys = cpi_jax.noise_keys(jax.random.key(0), 0, jnp.arange(2, dtype=jnp.uint32))
      >>> cpi_jax.sample(generator, jnp.zeros((2, 32), jnp.int32), keys).shape
      (2, 8, 8, 3)
    """
    if (sources is None) != (generator.source_size is None):
        takes = "edits real pictures, and no sources are given" if sources is None else "takes no sources"
        raise InputError(f"the generator {takes}: sampler.anchor says which it does")
    if sources is None:
        return generator.apply(generator.params, token_ids, keys)
    if sources.editable is not None:
        validate_within_masks(generator)
    return generator.apply(generator.params, token_ids, keys, sources)
