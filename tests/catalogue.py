"""A generator that looks its images up: exact pictures of every caption of a catalogue, drawn beforehand.

What a benchmark does with images is the same whoever makes them, and this one has no sampler to compile.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from cpi_jax.captions.slots import assemble, make_slots
from cpi_jax.data.shapes import CONCEPTS, EMPTY, concept_slots, render_shapes
from cpi_jax.diffusion.checkpoint import load_tokenizer
from cpi_jax.diffusion.generator import Generator
from cpi_jax.embedded import SHAPES_GENERATOR


def look_up(params, token_ids, keys, sources=None):
    """The key chooses the scene, so that images of one key differ in their captions alone; unknown captions are black."""
    known, pictures = params
    same = (token_ids[:, None] == known[None]).all(-1)
    scenes = jax.vmap(lambda key: jax.random.randint(key, (), 0, pictures.shape[1]))(keys)
    images = pictures[same.argmax(1), scenes] / 255
    return jnp.where(same.any(1)[:, None, None, None], images, 0)


def catalogue(tokenizer, captions, pictures, *, source_size=None, **joining):
    """The generator.

    Args:
      tokenizer: of the captions.
      captions: N of them, each as the texts of its slots.
      pictures: of each caption in the same P scenes, uint8 [N, P, H, W, 3].
      source_size: of the real pictures that it is given and does not look at; None: it takes none.
      joining: how the texts are joined, as `make_slots` takes it.
    """
    length = tokenizer.model_max_length
    known = assemble(make_slots(tokenizer, captions, length=length, **joining))
    params = known, jnp.asarray(pictures)
    return Generator(params, look_up, name="catalogue", caption_length=length, source_size=source_size)


@functools.cache
def exact_shapes(*_):
    """The generator of the embedded scenes and its tokenizer, whatever steps and guidance are asked for."""
    tokenizer = load_tokenizer(SHAPES_GENERATOR)
    concepts = np.array(list(itertools.product((0, 1), repeat=len(CONCEPTS))))
    scenes = 7_000_000 + np.arange(4)  # that no test explains
    pictures = np.stack([render_shapes(np.full(len(concepts), scene), concepts) for scene in scenes], axis=1)
    return catalogue(tokenizer, concept_slots(concepts), pictures, empty=EMPTY), tokenizer
