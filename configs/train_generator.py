"""A small Stable Diffusion checkpoint, trained from nothing: the embedded one of the shapes.

    python launch/train_generator.py --config=configs/train_generator.py --workdir=/tmp/shapes_generator

BUILD_NOTES.md has the measured course of the training.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from cpi_jax.cli.config import data_config, denoiser_defaults
from cpi_jax.data.shapes import EMPTY

# What is the data's own: the data, the words of its captions and how they are joined, and how long each part trains.
_SHAPES = {
    "data": data_config("shapes", num_examples=30_000, start=1_000_000),
    "words": ("1", "red", "green", "blue", "circle", "rectangle", ",", "an", "empty", "scene", "a", "photo"),
    "separator": ", ",
    "empty": EMPTY,
    "held_out": data_config("shapes", num_examples=400, start=4_000_000),
    "detector": "embedded",
    "neutral": "a photo",  # ends some captions, so that it can be permuted as a control
    "vae_steps": 1_850,
    "unet_steps": 5_000,
}


def get_config() -> ConfigDict:
    return train_from_nothing(_SHAPES)


def train_from_nothing(own: Mapping[str, Any]) -> ConfigDict:
    """A small checkpoint for some data, its words and how its captions join them."""
    return ConfigDict(
        {
            "seed": 0,
            "init": "",  # from nothing; configs/finetune_sd.py goes on from a checkpoint
            **{name: own[name] for name in ("data", "words", "separator", "empty", "neutral")},
            "networks": {
                "text_encoder": {
                    "hidden_size": 128,
                    "intermediate_size": 512,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 4,
                    "max_position_embeddings": 32,
                    "hidden_act": "quick_gelu",
                },
                "unet": {
                    "sample_size": 8,
                    "in_channels": 4,
                    "out_channels": 4,
                    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
                    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
                    "block_out_channels": (64, 128),
                    "layers_per_block": 1,
                    "attention_head_dim": 4,  # the number of heads, in Flax as in SD's PyTorch checkpoints
                    "cross_attention_dim": 128,
                },
                "vae": {
                    "in_channels": 3,
                    "out_channels": 3,
                    "down_block_types": ("DownEncoderBlock2D",) * 4,
                    "up_block_types": ("UpDecoderBlock2D",) * 4,
                    "block_out_channels": (8, 16, 32, 64),
                    "layers_per_block": 1,
                    "latent_channels": 4,
                    "norm_num_groups": 8,
                    "sample_size": 64,
                    "scaling_factor": 1.0,
                },
            },
            "scheduler": {
                "_class_name": "DPMSolverMultistepScheduler",
                "num_train_timesteps": 1000,
                "beta_start": 0.00085,
                "beta_end": 0.012,
                "beta_schedule": "scaled_linear",
                "prediction_type": "v_prediction",
                "algorithm_type": "dpmsolver++",
                "solver_order": 2,
                "solver_type": "midpoint",
                "lower_order_final": True,
                "timestep_spacing": "trailing",
                "final_sigmas_type": "zero",
            },
            "vae": {
                "num_steps": own["vae_steps"],
                "batch_size": 32,
                "kl_weight": 1e-5,
                "ema_decay": 0.99,
                "optimizer": {"learning_rate": 2e-3, "warmup": 100},
            },
            "unet": {
                **denoiser_defaults(),
                "num_steps": own["unet_steps"],
                "batch_size": 64,
                "neutral_share": 0.1 if own["neutral"] else 0.0,
                "timestep_density": "linear",
                "ema_decay": 0.999,
                "save_every": 1_000,
                "optimizer": {"learning_rate": 1e-3, "warmup": 300, "final": 2e-5},
            },
            # How each export is scored: the AUROC of a detector (a folder, or "embedded"; none where it is empty) on
            # images generated for held-out captions. Training ends after `patience` exports without a better one; 0: never.
            "evaluation": {
                "data": own["held_out"],
                "steps": 10,
                "guidance_scale": 3.0,
                "detector": own["detector"],
                "patience": 0,
            },
        }
    )
