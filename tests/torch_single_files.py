"""Single files and textual inversion against PyTorch diffusers' own readers: the same weights bit for bit, the same tokens.

    python -m tests.torch_single_files

Needs the extra `parity`. Diffusers reads a single file with the configurations of a folder, which is written here: it would
download the published ones.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

import jax.numpy as jnp
import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from cpi_jax.captions.clip_vocabulary import write_clip_tokenizers
from cpi_jax.captions.encoding import encode
from cpi_jax.checkpoints.weights import to_torch, torch_name
from cpi_jax.diffusion.checkpoint import load_checkpoint, save_checkpoint
from cpi_jax.diffusion.miniature import random_params
from tests.single_files import WIDTHS, single_file_tensors, single_networks, write_single

PROMPT = "a photo of <x>, and of easyneg"


def same_weights(what: str, ours, module: torch.nn.Module) -> bool:
    """Whether a module of diffusers holds what was read here, bit for bit, and nothing else but buffers."""
    theirs = {name: value.numpy() for name, value in module.state_dict().items() if not name.endswith("position_ids")}
    own = {torch_name(key): to_torch(key, np.asarray(value)) for key, value in flatten_dict(ours).items()}
    surplus = {name for name in theirs.keys() - own.keys() if not name.startswith("text_projection")}
    equal = [
        name for name in own if name in theirs and np.array_equal(own[name], theirs[name].reshape(own[name].shape))
    ]
    print(f"{what:40s} {len(equal)} of {len(own)} tensors are the same, {len(surplus)} more in diffusers", flush=True)
    return len(equal) == len(own) and not surplus


def compare(architecture: str, folder: Path) -> bool:
    is_xl = architecture == "sdxl"
    networks = single_networks(architecture)
    params = random_params(networks)
    tensors = single_file_tensors(networks, params)
    told = {"prediction_type": "v"} if architecture == "sd21" else {}
    file = write_single(tensors, folder / "single.safetensors", np.float32, **told)
    own = load_checkpoint(file)
    save_checkpoint(folder / "config", own.networks, own.params, own.scheduler, np.float32)
    write_clip_tokenizers(folder / "config", architecture)
    pipeline_class = StableDiffusionXLPipeline if is_xl else StableDiffusionPipeline
    also = {} if is_xl else {"safety_checker": None, "feature_extractor": None}
    pipeline = pipeline_class.from_single_file(
        str(file), config=str(folder / "config"), local_files_only=True, torch_dtype=torch.float32, **also
    )
    good = True
    for part in own.params:
        good &= same_weights(f"{architecture}, {part}", own.params[part], getattr(pipeline, part))

    alone = {k.removeprefix("first_stage_model."): v for k, v in tensors.items() if k.startswith("first_stage_model.")}
    alone = write_single({name: value + 1 for name, value in alone.items()}, folder / "vae.safetensors", np.float32)
    vae = AutoencoderKL.from_single_file(str(alone), config=str(folder / "config" / "vae"), local_files_only=True)
    good &= same_weights(
        f"{architecture}, another autoencoder", load_checkpoint(file, vae=str(alone)).params["vae"], vae
    )
    return good & compare_words(architecture, file, pipeline, folder)


@torch.no_grad()
def compare_words(architecture: str, file: Path, pipeline, folder: Path) -> bool:
    """Tokens and embeddings of a caption with words of one and of three vectors."""
    rng, is_xl = np.random.default_rng(0), architecture == "sdxl"
    specs = []
    for word, count in (("<x>", 1), ("easyneg", 3)):
        widths = {"clip_l": 64, "clip_g": 128}
        vectors = {part: rng.normal(size=(count, width)).astype(np.float32) for part, width in widths.items()}
        path = folder / f"{word.strip('<>')}.safetensors"
        save_file(vectors if is_xl else {"emb_params": vectors["clip_l"]}, path)
        specs.append(f"{word}:{path}")
        for name, end in (("clip_l", ""), ("clip_g", "_2"))[: 1 + is_xl]:
            encoder, tokenizer = getattr(pipeline, f"text_encoder{end}"), getattr(pipeline, f"tokenizer{end}")
            state = {"emb_params": torch.tensor(vectors[name])}
            pipeline.load_textual_inversion(state, token=word, text_encoder=encoder, tokenizer=tokenizer)
    own = load_checkpoint(file, embeddings=",".join(specs))
    ids = [own.tokenizer.bos_token_id, *encode(own.tokenizer, PROMPT), own.tokenizer.eos_token_id]
    ids += [own.tokenizer.pad_token_id] * (77 - len(ids))
    prompt = pipeline.maybe_convert_prompt(PROMPT, pipeline.tokenizer)
    theirs = pipeline.tokenizer(prompt, padding="max_length", max_length=77).input_ids
    context = own.networks.encode_text(own.params, jnp.array([ids], jnp.int32)).context
    expected = pipeline.encode_prompt(PROMPT, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)[
        0
    ]
    off = float(np.linalg.norm(context - expected.numpy()) / np.linalg.norm(expected.numpy()))
    print(
        f"{architecture}, words of textual inversion: tokens {'equal' if ids == theirs else 'DIFFER'}, context {off:.1e}"
    )
    return ids == theirs and off < 1e-5


def compare_pickle(folder: Path) -> bool:
    """The line that a pickle is refused with makes a file that is read."""
    networks = single_networks("sd15")
    tensors = single_file_tensors(networks, random_params(networks))
    weights = {name: value.astype(np.float32) for name, value in tensors.items() if value.dtype.kind == "f"}
    state = {name: torch.tensor(value) for name, value in weights.items()}
    torch.save({"state_dict": state}, folder / "old.ckpt")
    save_torch(torch.load(folder / "old.ckpt", weights_only=True)["state_dict"], folder / "new.safetensors")
    found = load_checkpoint(folder / "new.safetensors").params["unet"]["conv_in"]["kernel"]
    good = np.array_equal(
        to_torch(("kernel",), np.asarray(found)), state["model.diffusion_model.input_blocks.0.0.weight"]
    )
    print(f"a pickle, written anew by torch {torch.__version__}: {'read' if good else 'DIFFERS'}")
    return good


def main() -> None:
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        for architecture in WIDTHS:
            (folder := Path(temporary) / architecture).mkdir()
            good &= compare(architecture, folder)
        good &= compare_pickle(Path(temporary))
    sys.exit(None if good else "single files are not read as diffusers reads them")


if __name__ == "__main__":
    main()
