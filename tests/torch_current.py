"""Folders and LoRAs as the current releases of diffusers, transformers and PEFT write them: read as PyTorch reads them?

    make parity-current                           # writes, reads and compares
    python -m tests.torch_current --write         # besides, writes the small ones of tests/assets/ anew

In an environment with torch and those releases; `torch_golden` is the same for the last ones with Flax networks.
Long, since one process writes and reads every form.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")  # a notice for every pipeline without a safety checker

import jax
import numpy as np
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from cpi_jax.checkpoints.weights import to_torch
from cpi_jax.diffusion.checkpoint import load_checkpoint
from cpi_jax.diffusion.lora import lora_deltas
from cpi_jax.diffusion.lora_names import layer_name, ldm_names
from cpi_jax.errors import InputError
from cpi_jax.training.vocabulary import BOS, EOS
from tests import current, golden
from tests.mini import SCHEDULER
from tests.torch_golden import compare, outputs, read_pipeline

IMAGE = "image dpm_solver"
# Settings of a UNet that releases write in several ways, or that few checkpoints have.
UNETS: dict[str, dict[str, Any]] = {
    "lists of equal entries": {
        "layers_per_block": [2] * 4,
        "only_cross_attention": [False] * 4,
        "cross_attention_dim": [64] * 4,
        "transformer_layers_per_block": [1] * 4,
        "attention_head_dim": [8] * 4,
    },
    "no middle": {"mid_block_type": None},
    "sample_size null": {"sample_size": None},
    "sample_size [8, 16]": {"sample_size": (8, 16)},
}
UNET_LORA = {
    "r": 4,
    "lora_alpha": 6,
    "target_modules": ["to_q", "to_k", "to_v", "to_out.0", "conv1", "proj_in", "ff.net.0.proj"],
    "rank_pattern": {"to_q": 2},
    "alpha_pattern": {"to_k": 3, r"mid_block\..*\.to_v": 8},
}
TEXT_LORA = {"r": 4, "lora_alpha": 3, "target_modules": ["q_proj", "fc1"]}
# Settings that change the weights in another way, and what the refusal says.
REFUSED: dict[str, dict[str, Any]] = {
    'sets init_lora_weights = "pissa", which is not supported': {"init_lora_weights": "pissa"},
    'sets init_lora_weights = "olora", which is not supported': {"init_lora_weights": "olora"},
    "sets use_dora = true, which is not supported": {"use_dora": True},
    "sets lora_bias = true, which is not supported": {"lora_bias": True},
    'sets bias = "lora_only", which is not supported': {"bias": "lora_only"},
    'sets modules_to_save = ["conv_in"], which is not supported': {"modules_to_save": ["conv_in"]},
}


def compare_folder(what: str, name: str, folder: Path, keys: tuple[str, ...], size: Any = (), lora: Any = "") -> bool:
    """Our numbers of a folder against those of PyTorch, which reads it, too."""
    given = golden.inputs(name, folder, size)
    return compare_with(what, name, read_pipeline(name, folder), given, folder, keys, lora)


def compare_with(
    what: str,
    name: str,
    pipeline: Any,
    given: dict[str, np.ndarray],
    folder: Path,
    keys: tuple[str, ...],
    lora: Any = "",
) -> bool:
    expected = outputs(name, folder, pipeline, given, keys)
    found = golden.ours(name, folder, given, keys, lora)
    agree = [compare(f"{what}, {key}", found[key], expected[key], key) for key in keys]
    return all(agree)


def validate_drift(folder: Path) -> None:
    """Whether the releases still write what this is about."""
    tokenizer = {path.name for path in (folder / "tokenizer").iterdir()}
    assert tokenizer == {"tokenizer.json", "tokenizer_config.json"}, tokenizer
    names = load_file(folder / "text_encoder" / "model.safetensors")
    assert not any(name.startswith("text_model.") for name in names), sorted(names)[:3]


def write_today(name: str, temporary: Path) -> tuple[Path, Path]:
    """A miniature as this package writes it, and as the releases do that have read it."""
    ours, today = golden.checkpoint(name, temporary / "ours"), temporary / name
    pipeline = read_pipeline(name, ours)
    text = CLIPTextModel(pipeline.text_encoder.config)  # one that was read under old names is written under them
    text.load_state_dict(pipeline.text_encoder.state_dict())
    pipeline.register_modules(text_encoder=text)
    pipeline.save_pretrained(today)
    validate_drift(today)
    return ours, today


def folders(temporary: Path) -> bool:
    good = True
    every = golden.PARTS["embedded"]  # none by a pipeline: with clip_skip, that of these releases does not run
    for name, keys in {"sd15": every, "sd21": ("context", "unet", IMAGE)}.items():
        ours, today = write_today(name, temporary)
        good &= compare_folder(f"{name} of ours", name, ours, ("context", "unet"))
        good &= compare_folder(f"{name} of today", name, today, keys)
    for what, changes in UNETS.items():
        folder = temporary / what
        shutil.copytree(temporary / "sd15", folder)
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        other = UNet2DConditionModel.from_config(dict(unet.config) | changes)
        other.load_state_dict(unet.state_dict(), strict="mid_block_type" not in changes)
        other.save_pretrained(folder / "unet")
        written = json.loads((folder / "unet" / "config.json").read_text())
        assert all(written[field] == (list(v) if isinstance(v, tuple) else v) for field, v in changes.items()), written
        wide = isinstance(changes.get("sample_size"), tuple)
        size = () if "sample_size" not in changes else changes["sample_size"] or 8
        good &= compare_folder(what, "sd15", folder, ("unet", IMAGE) if wide else ("unet",), size)
    eighths = temporary / "eighths"
    shutil.copytree(temporary / "sd15", eighths)
    unet = UNet2DConditionModel.from_pretrained(eighths / "unet", torch_dtype=torch.float8_e4m3fn)
    unet.save_pretrained(eighths / "unet")
    assert {value.dtype for value in load_file(next((eighths / "unet").glob("*.safetensors"))).values()} == {
        torch.float8_e4m3fn
    }
    return good & compare_folder("fp8", "sd15", eighths, ("unet",))


def adapted(model: Any, seed: int, wrapped: bool = False, **config: Any) -> Any:
    """A network of a pipeline with an adapter that changes something: its own, or PEFT's model around it."""
    torch.manual_seed(seed)
    if wrapped:
        model = get_peft_model(model, LoraConfig(**config))
    else:
        inject_adapter_in_model(LoraConfig(**config), model)
        model._hf_peft_config_loaded = True  # as diffusers' add_adapter leaves it
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.2)
    return model


def deltas_in(model: Any) -> dict[str, np.ndarray]:
    """What PEFT adds to the layers of a network."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    return {
        plain(name): layer.get_delta_weight(layer.active_adapters[0]).detach().numpy() for name, layer in layers.items()
    }


def plain(name: str) -> str:
    return name.removeprefix("base_model.model.").removeprefix("text_model.")


def compare_deltas(what: str, lora: Any, shapes: Any, **models: Any) -> bool:
    """Whether a LoRA's file adds to every layer what PEFT adds, and to no other."""
    expected = {(part, name): value for part, model in models.items() for name, value in deltas_in(model).items()}
    found = {
        (part, plain(layer_name(path))): to_torch(path, added())
        for part, layers in lora_deltas(lora, shapes).items()
        for path, added in layers.items()
    }
    same = found.keys() == expected.keys()
    off = (
        max(golden.difference(name, found[part, name], value)[0] for (part, name), value in expected.items())
        if same
        else 1
    )
    print(f"{'LoRA, ' + what:45s} {off:.1e}  (at most 1e-05), {len(expected)} layers")
    return off <= 1e-5


def loras(temporary: Path) -> bool:
    base, good = temporary / "sd15", True
    shapes = load_checkpoint(base).params
    for root in (False, True):
        pipeline = read_pipeline("sd15", base)
        unet = adapted(pipeline.unet, 0, **UNET_LORA, use_rslora=root)
        text = adapted(pipeline.text_encoder, 1, **TEXT_LORA, use_rslora=root)
        folders = [str(temporary / f"{of} {root}") for of in ("pipeline", "unet", "text")]
        StableDiffusionPipeline.save_lora_weights(
            folders[0],
            get_peft_model_state_dict(unet),
            get_peft_model_state_dict(text),
            unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
            text_encoder_lora_adapter_metadata=text.peft_config["default"].to_dict(),
        )
        how = ", rank-stabilised" * root
        good &= compare_deltas(f"of the pipeline{how}", folders[0], shapes, unet=unet, text_encoder=text)
        unet.save_lora_adapter(folders[1])
        assert not any(
            name.startswith("unet.") for name in load_file(Path(folders[1]) / "pytorch_lora_weights.safetensors")
        )
        text = adapted(read_pipeline("sd15", base).text_encoder, 1, wrapped=True, **TEXT_LORA, use_rslora=root)
        text.save_pretrained(folders[2])
        good &= compare_deltas(f"of each apart{how}", folders[1:], shapes, unet=unet, text_encoder=text)
    given = golden.inputs("sd15", base)
    keys = ("context", "unet", IMAGE)
    good &= compare_with("LoRA", "sd15", pipeline, given, base, keys, folders[0])
    unet.set_adapters(["default"], [0.5])
    lora = f"{folders[1]}:0.5,{folders[2]}"
    good &= compare_deltas("of each apart, scaled", lora, shapes, unet=unet, text_encoder=text)

    for init in (False, "gaussian", "orthogonal"):
        unet = adapted(
            read_pipeline("sd15", base).unet, 3, r=4, target_modules=["to_q", "to_k"], init_lora_weights=init
        )
        unet.save_lora_adapter(temporary / str(init))
        good &= compare_deltas(f"init_lora_weights = {init}", str(temporary / str(init)), shapes, unet=unet)
    unet = adapted(
        read_pipeline("sd15", base).unet, 2, **UNET_LORA | {"lora_alpha": 4, "rank_pattern": {}, "alpha_pattern": {}}
    )
    state = get_peft_model_state_dict(unet)
    StableDiffusionPipeline.save_lora_weights(temporary / "old", convert_state_dict_to_diffusers(state))
    good &= compare_deltas("under diffusers' older names", str(temporary / "old"), shapes, unet=unet)
    file = temporary / "ldm.safetensors"
    write_ldm_names(file, state)
    good &= compare_ldm_names(read_pipeline("sd15", base).unet)
    good &= compare_deltas("under the original code's names", str(file), shapes, unet=unet)
    return good & refused(base, temporary, shapes)


def write_ldm_names(file: Path, state: dict[str, torch.Tensor]) -> None:
    """Writes an adapter under names of the original code."""
    tensors = {}
    for name, value in state.items():
        layer, which = name.removesuffix(".weight").rsplit(".lora_", 1)
        new = f"lora_unet_{ldm_names(layer, 2)[0].replace('.', '_')}"
        tensors[f"{new}.lora_{'down' if which == 'A' else 'up'}.weight"] = value.contiguous()
        tensors[f"{new}.alpha"] = torch.tensor(4.0)
    save_file(tensors, file)


def compare_ldm_names(unet: UNet2DConditionModel) -> bool:
    """Whether diffusers translates our names of the original code back, for every layer of a UNet that LoRAs can change."""
    layers = [name for name, module in unet.named_modules() if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))]
    leaves = ("weight", "bias")  # which it expects
    tensors = {
        f"model.diffusion_model.{new}.{leaf}": name for name in layers for new in ldm_names(name, 2) for leaf in leaves
    }
    back = convert_ldm_unet_checkpoint(tensors, dict(unet.config))
    same = back == {f"{name}.{leaf}": name for name in layers for leaf in leaves}
    print(f"names of the original code: {len(layers)} layers, {'as' if same else 'NOT as'} diffusers translates them")
    return same


def refused(base: Path, temporary: Path, shapes: Any) -> bool:
    good = True
    for n, (message, settings) in enumerate(REFUSED.items()):
        unet = adapted(read_pipeline("sd15", base).unet, 4, r=4, target_modules=["to_q"], **settings)
        unet.save_lora_adapter(temporary / f"refused {n}")
        try:
            lora_deltas(str(temporary / f"refused {n}"), shapes)
            said = "nothing"
        except InputError as error:
            said = str(error)
        print(f"LoRA, refused: {said.partition('weights.safetensors ')[2]}")
        good &= message in said
    return good


def write_assets() -> None:
    """Small folders for tests without torch: a checkpoint without the weights of UNet and autoencoder, and LoRAs."""
    shutil.rmtree(current.ASSETS, ignore_errors=True)
    torch.manual_seed(0)
    text = CLIPTextModel(CLIPTextConfig(**current.CONFIGS["text_encoder"]))
    with torch.no_grad():
        for value in text.parameters():
            value.add_(0.3 * torch.randn_like(value))
    unet = UNet2DConditionModel(**current.CONFIGS["unet"])
    vae = AutoencoderKL(**current.CONFIGS["vae"])
    special = {"bos_token": BOS, "eos_token": EOS, "pad_token": EOS, "unk_token": EOS}
    vocabulary, merges = current.vocabulary()
    tokenizer = CLIPTokenizer(vocabulary, merges, **special, model_max_length=32)
    scheduler = DPMSolverMultistepScheduler.from_config(SCHEDULER)
    with tempfile.TemporaryDirectory() as temporary:
        StableDiffusionPipeline(
            vae, text, tokenizer, unet, scheduler, None, None, requires_safety_checker=False
        ).save_pretrained(temporary)
        without = ("unet/*.safetensors", "vae/*.safetensors")
        left_out = [path.name for pattern in without for path in Path(temporary).glob(pattern)]
        shutil.copytree(temporary, current.ASSETS, ignore=lambda _, names: [name for name in names if name in left_out])
    ids = tokenizer(current.CAPTION, padding="max_length", max_length=32, return_tensors="pt").input_ids
    with torch.no_grad():
        expected = {"ids": ids.numpy(), "context": text(ids).last_hidden_state.numpy()}
    eighths = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}
    values = {name: torch.randn(3, 5).to(dtype) for name, dtype in eighths.items()}
    save_file(values, current.ASSETS / "fp8.safetensors")
    expected |= {name: value.float().numpy() for name, value in values.items()}
    adapted(unet, 1, **current.UNET_LORA).save_lora_adapter(current.ASSETS / "lora_unet")
    adapter = adapted(text, 2, wrapped=True, **current.TEXT_LORA)
    adapter.save_pretrained(current.ASSETS / "lora_text")
    (current.ASSETS / "lora_text" / "README.md").unlink()  # PEFT's, with nothing in it
    for part, model in (("unet", unet), ("text_encoder", adapter)):
        expected |= {f"{part} {name}": current.digest(value) for name, value in deltas_in(model).items()}
    np.savez_compressed(current.ASSETS / "expected.npz", **expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the small folders of the tests anew")
    options = parser.parse_args()
    if options.write:
        write_assets()
    print(
        ", ".join(
            f"{name} {importlib.metadata.version(name)}" for name in ("diffusers", "transformers", "peft", "torch")
        )
    )
    with tempfile.TemporaryDirectory() as temporary:
        jax.config.update("jax_compilation_cache_dir", f"{temporary}/xla")  # several folders are of the same networks
        good = folders(Path(temporary)) & loras(Path(temporary))
    sys.exit(None if good else "parity with the current releases does not hold")


if __name__ == "__main__":
    main()
