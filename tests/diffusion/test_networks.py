"""Our networks against the last Flax ones of diffusers and transformers, mended where those differ from PyTorch's."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpi_jax.diffusion.networks.autoencoder import AutoencoderKL
from cpi_jax.diffusion.networks.unet import AddedConditions, UNet2DCondition
from cpi_jax.networks.layers import GroupNorm
from cpi_jax.networks.text_encoder import CLIPTextEncoder
from tests.flax_names import with_flax_names

RNG = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def random_params(module, *inputs):
    """Random in every leaf; a norm's scales are about 1."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]

    def draw(path, leaf):
        scale = np.prod(leaf.shape[:-1]) ** -0.5 if leaf.ndim > 1 else 0.1
        return (path[-1].key == "scale") + scale * normal(*leaf.shape)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def close(found, expected):
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


def mended(next_fun, args, kwargs, context):
    """Interceptor: the exact GELU, and the epsilon of the transformers' norm."""
    from diffusers.models.attention_flax import FlaxGEGLU, FlaxTransformer2DModel

    module = context.module
    if context.method_name == "__call__" and isinstance(module, FlaxGEGLU):
        linear, gate = jnp.split(module.proj(args[0]), 2, axis=-1)
        return linear * nn.gelu(gate, approximate=False)
    if isinstance(module, nn.GroupNorm) and isinstance(module.parent, FlaxTransformer2DModel):
        object.__setattr__(module, "epsilon", 1e-6)
    return next_fun(*args, **kwargs)


def channels_first(x):
    return x.transpose(0, 3, 1, 2)


def channels_last(x):
    return x.transpose(0, 2, 3, 1)


UNET = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": (2, 4),
    "transformer_layers_per_block": (1, 2),
    "use_linear_projection": True,
    "freq_shift": 1,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
}


@pytest.mark.slow
def test_unet_of_sdxls_kind():
    flax = pytest.importorskip("diffusers.models.unets.unet_2d_condition_flax")
    added = AddedConditions(normal(2, 24), jnp.array([[64.0, 64, 0, 0, 64, 64], [64, 32, 8, 0, 64, 64]]))
    inputs = (normal(2, 8, 4, 4), jnp.array([999, 3]), normal(2, 7, 16))
    ours = UNet2DCondition(**UNET)
    params = random_params(ours, *inputs, added)
    theirs = flax.FlaxUNet2DConditionModel(**UNET, cross_attention_dim=16, projection_class_embeddings_input_dim=72)

    @jax.jit
    def expected(params, latents, timesteps, context):
        with nn.intercept_methods(mended):
            out = theirs.apply({"params": params}, channels_first(latents), timesteps, context, added._asdict())
        return channels_last(out.sample)

    found = jax.jit(ours.apply)({"params": params}, *inputs, added)
    close(found, expected(with_flax_names("unet", params), *inputs))


@pytest.mark.slow
def test_autoencoder():
    flax = pytest.importorskip("diffusers.models.vae_flax")
    config = {"block_out_channels": (8, 16), "layers_per_block": 2, "norm_num_groups": 4, "latent_channels": 3}
    ours, pixels, latents = AutoencoderKL(**config), normal(2, 8, 6, 3), normal(2, 4, 3, 3)
    params = random_params(ours, pixels)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    theirs, named = flax.FlaxAutoencoderKL(**config, **blocks), with_flax_names("vae", params)

    @jax.jit
    def expected(params):
        posterior = theirs.apply({"params": params}, channels_first(pixels), method=theirs.encode).latent_dist
        decoded = theirs.apply({"params": params}, latents, method=theirs.decode).sample
        return posterior.mean, posterior.std, channels_last(decoded)

    mean, std = jax.jit(lambda p: ours.apply({"params": p}, pixels, method=ours.encode))(params)
    decoded = jax.jit(lambda p: ours.apply({"params": p}, latents, method=ours.decode))(params)
    for one, other in zip((mean, std, decoded), expected(named), strict=True):
        close(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("activation, end", [("quick_gelu", 11), ("gelu", 2)])
def test_text_encoder_with_every_layer_and_projection(activation, end):
    """Ends at 11, or in old files (where it says 2) at the largest id, which is 12."""
    flax = pytest.importorskip("transformers.models.clip.modeling_flax_clip")
    from transformers import CLIPTextConfig

    config = {
        "vocab_size": 13, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
        "max_position_embeddings": 9, "hidden_act": activation, "layer_norm_eps": 1e-4, "eos_token_id": end,
    }  # fmt: skip
    ours = CLIPTextEncoder(**config, projection_size=5)
    ids = jnp.array([[10, 3, 4, 12, 11, 11, 11, 11, 11], [10, 12, 0, 1, 2, 3, 4, 11, 11]])
    params = random_params(ours, ids)
    theirs = flax.FlaxCLIPTextModelWithProjectionModule(CLIPTextConfig(**config, projection_dim=5))
    inputs = (ids, jnp.ones_like(ids), jnp.broadcast_to(jnp.arange(9), ids.shape))
    read = jax.jit(functools.partial(theirs.apply, output_hidden_states=True))
    expected = read({"params": with_flax_names("text_encoder", params)}, *inputs)
    found_of = jax.jit(lambda params: [ours.apply({"params": params}, ids, skip) for skip in range(3)])
    for skip, found in enumerate(found_of(params)):
        close(found.hidden, expected.hidden_states[-1 - skip])
        close(found.pooled, expected.text_embeds)
        if not skip:
            close(found.normed, expected.last_hidden_state)
        last = params["text_model.final_layer_norm"]
        norm = nn.LayerNorm(epsilon=1e-4).apply({"params": last}, expected.hidden_states[-1 - skip])
        close(found.normed, norm)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_group_norm(dtype):
    x = (3 + 2 * normal(2, 4, 6, 8)).astype(dtype)
    params = {"scale": normal(8).astype(dtype), "bias": normal(8).astype(dtype)}
    found = GroupNorm(4, 1e-2, dtype).apply({"params": params}, x)
    assert found.dtype == dtype
    groups = np.asarray(x, np.float64).reshape(2, 24, 4, 2)
    centred = groups - groups.mean((1, 3), keepdims=True)
    unit = centred / np.sqrt(groups.var((1, 3), keepdims=True) + 1e-2)
    expected = unit.reshape(x.shape) * np.asarray(params["scale"], np.float64) + np.asarray(params["bias"], np.float64)
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, atol=1e-5 if dtype == jnp.float32 else 0.05)
