"""A miniature Stable Diffusion with random weights: every kind of layer, a few thousand parameters."""

import functools
import json

import jax
import jax.numpy as jnp

from cpi_jax.diffusion.checkpoint import save_checkpoint, unconditional_ids
from cpi_jax.diffusion.make_generator import make_generator
from cpi_jax.diffusion.miniature import random_params
from cpi_jax.diffusion.networks import build_networks
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.training.vocabulary import write_tokenizer

SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
}
CONFIGS = {
    "text_encoder": {
        "vocab_size": 14,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "hidden_act": "quick_gelu",
        "bos_token_id": 12,
        "eos_token_id": 13,
        "pad_token_id": 13,
    },
    "unet": {
        "sample_size": 4,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "block_out_channels": [32, 32],
        "layers_per_block": 1,
        "attention_head_dim": 2,
        "cross_attention_dim": 16,
    },
    "vae": {
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "block_out_channels": [8, 8],
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "sample_size": 8,
        "scaling_factor": 0.5,
    },
}
# What is compiled again and again has fewer layers: the UNet attends in its middle alone.
ONE_BLOCK = CONFIGS | {
    "unet": CONFIGS["unet"]
    | {"down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"], "block_out_channels": [32]}
}
_TEXT = CONFIGS["text_encoder"] | {"num_hidden_layers": 2}
XL = ONE_BLOCK | {
    "text_encoder": _TEXT,
    "text_encoder_2": _TEXT
    | {"hidden_size": 8, "intermediate_size": 16, "hidden_act": "gelu", "projection_dim": 6, "pad_token_id": 0},
    "unet": ONE_BLOCK["unet"]
    | {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 2,
        "projection_class_embeddings_input_dim": 18,
        "transformer_layers_per_block": [2],
        "cross_attention_dim": 24,
    },
    "pipeline": {"force_zeros_for_empty_prompt": True},
}


@functools.cache
def mini_networks():
    return build_networks(CONFIGS)


@functools.cache
def mini_params(seed=0):
    return jax.tree.map(jnp.asarray, random_params(mini_networks(), seed))


@functools.cache
def one_block_networks():
    return build_networks(ONE_BLOCK)


@functools.cache
def one_block_params(seed=0):
    return jax.tree.map(jnp.asarray, random_params(one_block_networks(), seed))


def write_mini(folder, words, length=77):
    """The miniature as a checkpoint folder, with a vocabulary of its own and CLIP's length of captions."""
    ids = {"vocab_size": len(words) + 2, "bos_token_id": len(words), "eos_token_id": len(words) + 1}
    ids |= {"pad_token_id": len(words) + 1, "max_position_embeddings": length}
    networks = build_networks(ONE_BLOCK | {"text_encoder": CONFIGS["text_encoder"] | ids})
    save_checkpoint(folder, networks, random_params(networks), SCHEDULER)
    write_tokenizer(words, folder / "tokenizer", length)


def write_mini_xl(folder, words):
    """A miniature of SDXL; its second tokenizer pads with the first word."""
    networks = build_networks(XL)
    save_checkpoint(folder, networks, random_params(networks), SCHEDULER)
    for name, pad in {"tokenizer": {}, "tokenizer_2": {"pad_token": f"{words[0]}</w>"}}.items():
        write_tokenizer(words, folder / name, 32)
        settings = folder / name / "tokenizer_config.json"
        settings.write_text(json.dumps(json.loads(settings.read_text()) | pad))


def mini_generator(tokenizer, steps=3, guidance_scale=2.0, seed=0, **sampler):
    networks = one_block_networks()
    settings = SamplerSettings(steps, guidance_scale, **sampler)
    unconditional = unconditional_ids(tokenizer, networks.max_length)
    return make_generator(networks, one_block_params(seed), SCHEDULER, unconditional, settings)
