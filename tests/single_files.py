"""Checkpoints as single files under the names of the original code, written from diffusers' names by a mapping of our own.

    python -m tests.single_files --architecture=sd15 /tmp/miniature.safetensors         # a miniature, to try one
    python -m tests.single_files --architecture=sdxl --full --dtype=float16 FILE        # of the published size, to measure

The mapping goes the other way than `cpi_jax/checkpoints/ldm_names.py`, and is built block by block instead of by patterns.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from cpi_jax.checkpoints.weights import to_torch, torch_name
from cpi_jax.diffusion.architectures import ARCHITECTURES
from cpi_jax.diffusion.miniature import OWN_SIZES, SIZES, random_params
from cpi_jax.diffusion.networks import Networks, build_networks, param_shapes

# Unlike those of `miniature`, with heads as wide as the published ones have them: a single file does not tell their number.
WIDTHS = {"sd15": [32, 64, 64, 64], "sd21": [64, 64, 128, 128], "sdxl": [64, 64, 128]}
SAMPLE_SIZES = {"sd15": 64, "sd21": 96, "sdxl": 128}
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
LAYER = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}  # fmt: skip


def single_networks(architecture: str, **unet: Any) -> Networks:
    """Small networks of an architecture, as a single file can describe them."""
    configs, _ = ARCHITECTURES[architecture]
    configs = {part: config | SIZES.get(part, {}) for part, config in configs.items()}
    configs["text_encoder"]["num_attention_heads"] = 1
    configs["vae"]["sample_size"] = ARCHITECTURES[architecture][0]["vae"]["sample_size"]
    configs["unet"]["use_linear_projection"] = architecture != "sd15"
    own: dict[str, Any] = {"sample_size": SAMPLE_SIZES[architecture]}
    if architecture == "sdxl":
        configs["text_encoder_2"] |= OWN_SIZES["sdxl"]["text_encoder_2"] | {
            "hidden_size": 128,
            "num_attention_heads": 2,
        }
        own |= OWN_SIZES["sdxl"]["unet"] | {"cross_attention_dim": 192}
    widths = WIDTHS[architecture]
    heads = 8 if architecture == "sd15" else [width // 64 for width in widths]
    own |= {"block_out_channels": widths, "attention_head_dim": heads}
    configs["unet"] |= own | unet
    return build_networks(configs)


def unet_modules(config: dict[str, Any]) -> dict[str, str]:
    """Modules of the UNet: diffusers' name -> the original's."""
    layers, depth = config["layers_per_block"], len(config["block_out_channels"])
    names = {
        "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2", "conv_norm_out": "out.0",
        "conv_out": "out.2", "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }  # fmt: skip
    n = 1
    for block in range(depth):
        for layer in range(layers):
            names[f"down_blocks.{block}.resnets.{layer}"] = f"input_blocks.{n}.0"
            names[f"down_blocks.{block}.attentions.{layer}"] = f"input_blocks.{n}.1"
            n += 1
        if block < depth - 1:
            names[f"down_blocks.{block}.downsamplers.0.conv"] = f"input_blocks.{n}.0.op"
            n += 1
    n = 0
    for block, kind in enumerate(config["up_block_types"]):
        for layer in range(layers + 1):
            names[f"up_blocks.{block}.resnets.{layer}"] = f"output_blocks.{n}.0"
            names[f"up_blocks.{block}.attentions.{layer}"] = f"output_blocks.{n}.1"
            n += 1
        names[f"up_blocks.{block}.upsamplers.0.conv"] = f"output_blocks.{n - 1}.{1 + ('Cross' in kind)}.conv"
    return names


def vae_modules(config: dict[str, Any]) -> dict[str, str]:
    """Modules of the autoencoder."""
    depth = len(config["block_out_channels"])
    names = {}
    for half in ("encoder", "decoder"):
        for i in (0, 1):
            names[f"{half}.mid_block.resnets.{i}"] = f"{half}.mid.block_{i + 1}"
        attention = f"{half}.mid_block.attentions.0"
        inside = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
        names |= {f"{attention}.{own}": f"{half}.mid.attn_1.{theirs}" for own, theirs in inside.items()}
        names[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        for block in range(depth):
            own, theirs = ("down", block) if half == "encoder" else ("up", depth - 1 - block)
            for layer in range(config["layers_per_block"] + 1):
                names[f"{half}.{own}_blocks.{block}.resnets.{layer}"] = f"{half}.{own}.{theirs}.block.{layer}"
            names[f"{half}.{own}_blocks.{block}.{own}samplers.0"] = f"{half}.{own}.{theirs}.{own}sample"
    return names


def renamed(name: str, modules: dict[str, str], inside: dict[str, str]) -> str:
    """A tensor's name: the longest module that is known, and what is inside it."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        if (module := ".".join(parts[:cut])) in modules:
            rest = ".".join(parts[cut:])
            head, _, leaf = rest.rpartition(".")
            return ".".join(filter(None, [modules[module], inside.get(head, head), leaf]))
    return name


def openclip_tensors(tensors: dict[str, np.ndarray], layers: int) -> dict[str, np.ndarray]:
    """OpenCLIP's text encoder: queries, keys and values fused, the projection the other way round."""
    out = {
        "token_embedding.weight": tensors["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": tensors["text_model.embeddings.position_embedding.weight"],
        "ln_final.weight": tensors["text_model.final_layer_norm.weight"],
        "ln_final.bias": tensors["text_model.final_layer_norm.bias"],
        "logit_scale": np.float32(4.6052),
    }
    if "text_projection.weight" in tensors:
        out["text_projection"] = tensors["text_projection.weight"].T
    for i in range(layers):
        own, theirs = f"text_model.encoder.layers.{i}", f"transformer.resblocks.{i}"
        for leaf in ("weight", "bias"):
            fused = [tensors[f"{own}.self_attn.{which}_proj.{leaf}"] for which in "qkv"]
            out[f"{theirs}.attn.in_proj_{leaf}"] = np.concatenate(fused)
            out |= {f"{theirs}.{new}.{leaf}": tensors[f"{own}.{old}.{leaf}"] for old, new in LAYER.items()}
    return out


def single_file_tensors(networks: Networks, params: dict[str, Any], *, vae: bool = True) -> dict[str, np.ndarray]:
    """Tensors of a single file, float32, with the buffers and averages that such files hold beside the weights."""
    parts = {
        part: {torch_name(key): to_torch(key, np.asarray(value)) for key, value in flatten_dict(tree).items()}
        for part, tree in params.items()
    }
    configs, text = networks.configs, parts["text_encoder"]
    unet = unet_modules(configs["unet"])
    out = {f"model.diffusion_model.{renamed(k, unet, RESNET)}": v for k, v in parts["unet"].items()}
    if vae:
        modules, inside = vae_modules(configs["vae"]), {"conv_shortcut": "nin_shortcut"}
        for name, value in parts["vae"].items():
            name = renamed(name, modules, inside)
            is_conv = ".attn_1." in name and name.endswith("weight") and value.ndim == 2
            out[f"first_stage_model.{name}"] = value[:, :, None, None] if is_conv else value
    if "text_encoder_2" in parts:
        layers = configs["text_encoder_2"]["num_hidden_layers"]
        out |= {f"conditioner.embedders.0.transformer.{k}": v for k, v in text.items()}
        second = openclip_tensors(parts["text_encoder_2"], layers)
        return out | {f"conditioner.embedders.1.model.{k}": v for k, v in second.items()}
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    out |= {"alphas_cumprod": np.cumprod(1 - betas).astype(np.float32), "betas": betas.astype(np.float32)}
    out |= {"model_ema.decay": np.float32(0.9999), "model_ema.diffusion_modelout2bias": np.zeros(4, np.float32)}
    if configs["unet"].get("use_linear_projection"):  # Stable Diffusion 2 has one more layer, which is never read
        layers = configs["text_encoder"]["num_hidden_layers"]
        of_last = {k: v for k, v in text.items() if f".layers.{layers - 1}." in k}
        text |= {k.replace(f".layers.{layers - 1}.", f".layers.{layers}."): v + 1 for k, v in of_last.items()}
        text["text_projection.weight"] = np.zeros((64, 64), np.float32)
        return out | {f"cond_stage_model.model.{k}": v for k, v in openclip_tensors(text, layers + 1).items()}
    ids = {"text_model.embeddings.position_ids": np.arange(77)[None]}
    return out | {f"cond_stage_model.transformer.{k}": v for k, v in (text | ids).items()}


def write_single(tensors: dict[str, np.ndarray], file: Path, dtype: Any = np.float16, **metadata: str) -> Path:
    """Writes tensors in a type, whole numbers as they are; metadata under modelspec's names."""
    kept = {name: np.ascontiguousarray(v.astype(dtype) if v.dtype.kind == "f" else v) for name, v in tensors.items()}
    save_file(kept, file, {f"modelspec.{name}": text for name, text in metadata.items()} | {"format": "pt"})
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--architecture", choices=[*ARCHITECTURES], default="sd15")
    parser.add_argument("--dtype", default="float16")
    parser.add_argument("--full", action="store_true", help="of the published size, with random weights")
    options = parser.parse_args()
    dtype = jnp.dtype(options.dtype)
    if options.full:
        networks, rng = build_networks(ARCHITECTURES[options.architecture][0]), np.random.default_rng(0)
        draw = lambda leaf: (0.02 * rng.standard_normal(leaf.shape, np.float32)).astype(dtype)  # noqa: E731
        params = jax.tree.map(draw, param_shapes(networks))
    else:
        networks = single_networks(options.architecture)
        params = random_params(networks)
    write_single(single_file_tensors(networks, params), options.file, dtype)
    print(f"written: {options.file}")


if __name__ == "__main__":
    main()
