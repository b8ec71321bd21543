import copy
import functools
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cpi_jax.diffusion import sampler
from cpi_jax.diffusion.generator import Generator, find_caption_length, sample
from cpi_jax.diffusion.make_generator import make_generator
from cpi_jax.diffusion.networks import build_networks
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.errors import InputError
from cpi_jax.plan.noise import noise_keys
from cpi_jax.training.vocabulary import write_tokenizer
from tests.mini import ONE_BLOCK, SCHEDULER, mini_generator, one_block_params
from tests.quick_compiling import FLAGS
from tests.words import WORDS

pytestmark = pytest.mark.slow

IDS = jnp.asarray(np.random.default_rng(0).integers(0, 12, (8, 32)), jnp.int32)


def keys(ids, draw=0):
    return noise_keys(jax.random.key(7), draw, jnp.asarray(ids, jnp.uint32))


def test_noise_is_fold_in_of_the_draw_and_the_id():
    expected = jax.random.fold_in(jax.random.fold_in(jax.random.key(7), 3), 11)
    np.testing.assert_array_equal(jax.random.key_data(keys([5, 11], draw=3))[1], jax.random.key_data(expected))
    halves = noise_keys(jax.random.key(7), 3, jnp.array([[1, 2]], jnp.uint32))
    wide = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(jax.random.key(7), 3), 1), 2)
    np.testing.assert_array_equal(jax.random.key_data(halves)[0], jax.random.key_data(wide))
    small = noise_keys(jax.random.key(7), 3, jnp.array([[0, 11], [1, 2]], jnp.uint32))
    np.testing.assert_array_equal(jax.random.key_data(small)[0], jax.random.key_data(expected))


def test_an_image_depends_on_its_own_caption_and_key_alone(tokenizer):
    generator = mini_generator(tokenizer)
    whole = sample(generator, IDS, keys(range(8)))
    assert whole.shape == (8, 8, 8, 3) and float(whole.min()) >= 0 and float(whole.max()) <= 1
    assert float(whole.std()) > 0.01
    for part in ([3, 0], [6, 1]):
        alone = sample(generator, IDS[jnp.array(part)], keys(part))
        np.testing.assert_allclose(alone, whole[jnp.array(part)], atol=5e-5)
    other_noise = sample(generator, IDS[:2], keys([0, 1], draw=1))
    other_caption = sample(generator, IDS[2:4], keys([0, 1]))
    for other in (other_noise, other_caption):
        assert (np.abs(other - whole[:2]).max((1, 2, 3)) > 1e-3).all()


def test_a_generator_says_how_long_its_captions_are(tokenizer):
    generator = mini_generator(tokenizer)
    assert generator.caption_length == len(generator.params.unconditional) == 32
    assert jax.tree.map(lambda x: x, generator).caption_length == 32
    plain = Generator(jnp.ones(1), generator.apply)
    assert find_caption_length(generator, tokenizer) == find_caption_length(plain, tokenizer) == 32
    assert find_caption_length(plain.replace(caption_length=8), tokenizer) == 8
    without = copy.copy(tokenizer)
    without.model_max_length = 10**30
    with pytest.raises(InputError, match=r"model_max_length is 1e\+30\): say it, as in Generator"):
        find_caption_length(plain, without)
    for wrong in (0, -1, 2, True):
        with pytest.raises(InputError, match=f"caption_length must be a whole number above 2 .*, not {wrong!r}"):
            generator.replace(caption_length=wrong)


def test_guidance_extrapolates_from_the_unconditional_prediction(tokenizer):
    """Guidance s is without + s (with - without): 1 + 0 is the plain sampler, and one step is linear in s."""
    made, plain = mini_generator(tokenizer, 1, 2.0), mini_generator(tokenizer, 1, 1.0)

    def at(scale):
        scaled = made.replace(params=made.params.replace(guidance_scale=jnp.float32(scale)))
        return sample(scaled, IDS, keys(range(8)))

    np.testing.assert_allclose(at(1.0), sample(plain, IDS, keys(range(8))), atol=1e-5)
    assert made.apply.guided == (0, 1) and plain.apply.guided == (0, 0)
    unconditional = jnp.broadcast_to(made.params.unconditional, IDS.shape)
    np.testing.assert_allclose(at(0.0), sample(plain, unconditional, keys(range(8))), atol=1e-5)


@functools.partial(jax.jit, static_argnums=0)
def denoise(networks, *arguments):
    return networks.denoise(*arguments)


def by_steps(generator, guided):
    """The sampler written out, one evaluation after the other, with guidance in the steps that `guided` names."""
    nets, params = generator.apply.networks, generator.params
    weights, scale = params.networks, params.guidance_scale
    encode = jax.jit(nets.encode_text)
    context = encode(weights, IDS).context
    without = encode(weights, jnp.broadcast_to(params.unconditional, IDS.shape)).context
    x = jax.vmap(lambda key: jax.random.normal(key, nets.latent_shape))(keys(range(8)))
    previous = 0.0
    for k, (t, a, s, carry, gain, mix) in enumerate(zip(*params.solver)):
        output = denoise(nets, weights["unet"], x, jnp.full(8, t), context)
        if k in guided:
            nothing = denoise(nets, weights["unet"], x, jnp.full(8, t), without)
            output = nothing + scale * (output - nothing)
        clean = a * x - s * output
        x = carry * x + gain * ((1 + mix) * clean - mix * previous)
        previous = clean
    return jnp.clip(jax.jit(nets.decode_latents)(weights["vae"], x / nets.scaling_factor), 0, 1)


def test_guidance_in_an_interval_of_noise_levels(tokenizer):
    interval, guided = (0.7, 4.0), (2, 3, 4)  # neither the first steps nor the last one
    generator = mini_generator(tokenizer, 6, 3.0, guidance_interval=interval)
    levels = np.asarray(generator.params.solver.sigma / generator.params.solver.alpha)
    assert [k for k, x in enumerate(levels) if interval[0] < x <= interval[1]] == list(guided)
    np.testing.assert_allclose(sample(generator, IDS, keys(range(8))), by_steps(generator, guided), atol=2e-4)


def test_pictures_are_decoded_in_slices(tokenizer, monkeypatch):
    generator = mini_generator(tokenizer)
    decode, params = generator.apply._decode, generator.params
    latents = jax.random.normal(jax.random.key(0), (8, 4, 4, 4))
    whole = jax.jit(decode)(params, latents)
    monkeypatch.setattr(sampler, "DECODED_AT_ONCE", 3 * 8 * 8)  # three at a time, the last slice has two
    sliced = jax.jit(lambda *x: decode(*x))(params, latents)
    np.testing.assert_allclose(sliced, whole, atol=2e-5)
    assert "f32[2,3,4,4,4]" in str(
        jax.make_jaxpr(lambda *x: decode(*x))(params, latents)
    )  # two slices of three latents


def test_bfloat16_is_close_and_the_solver_stays_float32(tokenizer):
    networks = build_networks(ONE_BLOCK, jnp.bfloat16)
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), one_block_params())
    exact = mini_generator(tokenizer)
    settings = SamplerSettings(3, 2.0, dtype="bfloat16")
    half = make_generator(networks, params, SCHEDULER, exact.params.unconditional, settings)
    program = jax.make_jaxpr(half.apply)(half.params, IDS, keys(range(8)))
    scan = next(e for e in program.eqns if e.primitive.name == "scan" and e.params["length"] == 3)
    carried = [v.aval for v in scan.outvars if v.aval.shape == (8, 4, 4, 4)]
    assert {a.dtype for a in carried} == {jnp.dtype("float32")} and len(carried) >= 2
    assert "bf16[3,3,32,32]" in str(program).replace(" ", "")
    ready = [v.aval.dtype for v in scan.invars if v.aval.shape == (16, 32, 2, 16)]  # the keys and values of captions
    attentions = sum(path[-3:] == ("attn2", "to_k", "kernel") for path in flatten_dict(params["unet"]))
    assert ready == [jnp.dtype("bfloat16")] * 2 * attentions
    off = np.abs(sample(half, IDS, keys(range(8))) - sample(exact, IDS, keys(range(8))))
    assert 1e-5 < off.mean() < 0.05  # random weights; on the embedded checkpoint .002


def test_presets_take_the_place_of_what_they_name():
    assert SamplerSettings(preset="bf16").dtype == "bfloat16"
    screening = SamplerSettings(steps=20, guidance_scale=7.5, preset="screening")
    assert (screening.steps, screening.guidance_scale) == (5, 7.5) and screening.guidance_interval


def test_new_captions_keys_scales_and_weights_compile_nothing(tokenizer):
    generator = mini_generator(tokenizer, 3, 2.0)
    sample(generator, IDS, keys(range(8)))
    before = sample._cache_size()
    stronger = mini_generator(tokenizer, 3, 5.0, seed=1)
    sample(stronger, IDS[::-1], keys(range(8, 16), draw=1))
    assert sample._cache_size() == before


@pytest.mark.parametrize("kind", ["jit", "vmap"])
def test_runs_inside_a_callers_transformation(tokenizer, kind):
    generator = mini_generator(tokenizer)
    expected = sample(generator, IDS[:2], keys([0, 1]))
    if kind == "jit":
        got = jax.jit(lambda ids, k: sample(generator, ids, k) + 1)(IDS[:2], keys([0, 1])) - 1
    else:
        got = jax.jit(jax.vmap(lambda i, k: sample(generator, i[None], k[None])[0]))(IDS[:2], keys([0, 1]))
    np.testing.assert_allclose(got, expected, atol=2e-5)


FOUR_DEVICES = """
    import jax, jax.numpy as jnp, numpy as np
    from functools import partial
    from cpi_jax.generation import sharding
    from cpi_jax.classifiers.resnet import ResNet, resnet_logits
    from cpi_jax.classifiers.scorer import Scorer
    from cpi_jax.diffusion.checkpoint import load_tokenizer
    from cpi_jax.plan.noise import noise_keys
    from cpi_jax.generation.fused_step import score_batch
    from tests.mini import mini_generator

    assert jax.local_device_count() == 4
    generator = mini_generator(load_tokenizer({folder!r}), steps=1)
    module = ResNet(2, (8,))
    params = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    scorers = {{"f": Scorer(params, partial(resnet_logits, module))}}
    ids = jnp.asarray(np.random.default_rng(0).integers(0, 12, (8, 32)), jnp.int32)
    examples = jnp.arange(8, dtype=jnp.uint32)

    def step(generator, scorers, ids, examples):
        return score_batch(generator, scorers, ids, noise_keys(jax.random.key(7), 0, examples))

    one, _ = jax.jit(step)(generator, scorers, ids, examples)
    mesh = sharding.local_mesh()
    sharded = sharding.split_rows(step, mesh, num_replicated=2, num_split=2)
    program = sharded.lower(generator, scorers, ids, examples).compile()
    collectives = "all-reduce", "all-gather", "all-to-all", "collective-permute"
    assert not any(word in program.as_text() for word in collectives)
    split, images = program(generator, scorers, ids, examples)
    assert len(split["f"].sharding.device_set) == 4 and not split["f"].is_fully_replicated
    mapped, _ = jax.pmap(step, in_axes=(None, None, 0, 0))(
        generator, scorers, ids.reshape(4, 2, -1), examples.reshape(4, 2)
    )
    np.testing.assert_allclose(split["f"], one["f"], atol=5e-4)  # two rows a device, and all eight on one
    np.testing.assert_allclose(mapped["f"].reshape(8, 2), split["f"], atol=1e-4)
    noise = lambda e: jax.vmap(lambda k: jax.random.normal(k, (4,)))(noise_keys(jax.random.key(7), 0, e))
    split_noise = sharding.split_rows(noise, mesh, num_replicated=0, num_split=1)
    np.testing.assert_array_equal(split_noise(examples), noise(examples))
    print("same on one device, four shards and pmap")
"""


def test_four_devices_shard_and_pmap_the_same_function(tmp_path):
    """The fused step on four host devices, in a process of its own: equal scores, split outputs, no collective."""
    import os

    folder = str(tmp_path)
    write_tokenizer(WORDS, tmp_path / "tokenizer", 32)
    environment = os.environ | {
        "XLA_FLAGS": f"{FLAGS} --xla_force_host_platform_device_count=4",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    code = textwrap.dedent(FOUR_DEVICES.format(folder=folder))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "same on one device, four shards and pmap" in done.stdout, done.stderr[-3000:]
