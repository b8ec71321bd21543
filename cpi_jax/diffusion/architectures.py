"""Configurations of published checkpoints, without their weights: for plans, compilation and benchmarks."""

from __future__ import annotations

from typing import Any

_CLIP_L = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_UNET = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
}
_VAE = {
    "sample_size": 512,
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "act_fn": "silu",
    "scaling_factor": 0.18215,
}
_SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
}

_OPENCLIP_H = _CLIP_L | {  # without its last layer: Stable Diffusion 2 reads the one before
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
}
_UNET_2 = _UNET | {
    "sample_size": 96,
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
    "upcast_attention": True,
}
_SCHEDULER_2 = _SCHEDULER | {"prediction_type": "v_prediction"}

_OPENCLIP_G = _CLIP_L | {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
    "bos_token_id": 49406,  # those of the tokenizers, in place of what the file says
    "eos_token_id": 49407,
    "pad_token_id": 0,
}
_UNET_XL = _UNET | {
    "sample_size": 128,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [320, 640, 1280],
    "attention_head_dim": [5, 10, 20],
    "transformer_layers_per_block": [1, 2, 10],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_SCHEDULER_XL = _SCHEDULER | {"timestep_spacing": "leading"}

# Parts' configurations (`Networks.configs`) and the scheduler's, as in the folders of the checkpoints.
ARCHITECTURES: dict[str, tuple[dict[str, dict[str, Any]], dict[str, Any]]] = {
    "sd15": ({"text_encoder": _CLIP_L, "unet": _UNET, "vae": _VAE}, _SCHEDULER),
    "sd21": (
        {"text_encoder": _OPENCLIP_H, "unet": _UNET_2, "vae": _VAE | {"sample_size": 768}},
        _SCHEDULER_2,
    ),
    "sdxl": (
        {
            "text_encoder": _CLIP_L,
            "text_encoder_2": _OPENCLIP_G,
            "unet": _UNET_XL,
            "vae": _VAE | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
            "pipeline": {"force_zeros_for_empty_prompt": True},
        },
        _SCHEDULER_XL,
    ),
}
