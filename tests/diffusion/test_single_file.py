"""Single files, as most checkpoints on the web: the same as their folders bit for bit, and every other kind named.

Long, since all tests share the miniatures' files.
"""

import functools
import importlib.util
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cpi_jax.captions.clip_vocabulary import clip_tokenizer, write_clip_tokenizers
from cpi_jax.checkpoints.ldm_names import text_sources, unet_sources, vae_sources
from cpi_jax.diffusion import single_file
from cpi_jax.diffusion.checkpoint import load_checkpoint, save_checkpoint
from cpi_jax.diffusion.families import FAMILIES, family_of_pipeline
from cpi_jax.diffusion.miniature import random_params
from cpi_jax.diffusion.single_file import open_single_file
from cpi_jax.errors import InputError
from tests.launching import launch
from tests.single_files import single_file_tensors, single_networks, write_single

TWO_BLOCKS = {
    "sd15": {"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "block_out_channels": [32, 64]},
    "sd21": {"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "block_out_channels": [64, 128]},
    "sdxl": {"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "block_out_channels": [64, 128]},
}
for architecture, own in TWO_BLOCKS.items():
    own["up_block_types"] = [kind.replace("Down", "Up") for kind in own["down_block_types"][::-1]]
    own |= {"layers_per_block": 1, "attention_head_dim": 8 if architecture == "sd15" else [1, 2]}
TWO_BLOCKS["sdxl"] |= {"transformer_layers_per_block": [1, 2]}


@pytest.fixture(autouse=True, scope="module")
def one_tokenizer():
    """Of each kind: to make one of CLIP's vocabulary takes half a second."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(single_file, "clip_tokenizer", functools.cache(clip_tokenizer))
        yield


@pytest.fixture(scope="module")
def made():
    """Networks, parameters and tensors of a single file, by architecture; two blocks of one layer."""
    kept = {}

    def make(architecture):
        if architecture not in kept:
            networks = single_networks(architecture, **TWO_BLOCKS[architecture])
            params = jax.tree.map(lambda x: np.float16(x).astype(np.float32), random_params(networks))
            kept[architecture] = networks, params, single_file_tensors(networks, params)
        return kept[architecture]

    return make


SAID = {"sd15": {}, "sd21": {"prediction_type": "v"}, "sdxl": {}}


SLOW = pytest.mark.slow  # the first stands for them in `make test-fast`


@pytest.mark.parametrize("architecture", ["sd15", pytest.param("sd21", marks=SLOW), pytest.param("sdxl", marks=SLOW)])
def test_a_single_file_is_its_folder(made, tmp_path, architecture):
    networks, params, tensors = made(architecture)
    file = write_single(tensors, tmp_path / "single.safetensors", **SAID[architecture])
    own = load_checkpoint(file)
    jax.tree.map(np.testing.assert_array_equal, own.params, params)
    assert own.networks.configs == networks.configs

    done = launch("convert", f"--from={file}", f"--to={tmp_path / 'folder'}")
    assert done.code == 0 and "weights in float16" in done.out
    of_folder = load_checkpoint(tmp_path / "folder")
    jax.tree.map(np.testing.assert_array_equal, own.params, of_folder.params)
    assert own.scheduler == of_folder.scheduler
    assert own.tokenizer.get_vocab() == of_folder.tokenizer.get_vocab()
    pad = own.tokenizer.get_vocab()["!" if architecture == "sd21" else "<|endoftext|>"]
    assert own.tokenizer.pad_token_id == of_folder.tokenizer.pad_token_id == pad
    described = [json.loads(json.dumps(x.networks.configs)) for x in (own, of_folder)]
    for part, config in described[0].items():
        assert config.items() <= described[1][part].items()


def test_other_types_keep_their_numbers(made, tmp_path):
    _, params, tensors = made("sd15")
    exact = write_single(tensors, tmp_path / "exact.safetensors", np.float32)
    jax.tree.map(np.testing.assert_array_equal, load_checkpoint(exact).params, params)
    short = write_single(tensors, tmp_path / "short.safetensors", jnp.bfloat16)
    read = load_checkpoint(short, dtype=jnp.bfloat16).params
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b.astype(jnp.bfloat16)), read, params)
    done = launch("convert", f"--from={short}", f"--to={tmp_path / 'folder'}")
    assert "weights in bfloat16" in done.out
    again = launch("convert", f"--from={short}", f"--to={tmp_path / 'folder'}")
    assert again.code == 1 and "is not empty" in again.err


def test_names_of_the_published_files():
    """As they stand in v1-5-pruned-emaonly, v2-1_768 and sd_xl_base_1.0."""
    unet = {
        "input_blocks.0.0.weight": "conv_in.weight",
        "input_blocks.3.0.op.bias": "down_blocks.0.downsamplers.0.conv.bias",
        "input_blocks.8.1.transformer_blocks.0.attn2.to_out.0.weight":
            "down_blocks.2.attentions.1.transformer_blocks.0.attn2.to_out.0.weight",
        "input_blocks.11.0.emb_layers.1.weight": "down_blocks.3.resnets.1.time_emb_proj.weight",
        "middle_block.2.out_layers.3.bias": "mid_block.resnets.1.conv2.bias",
        "middle_block.1.proj_in.weight": "mid_block.attentions.0.proj_in.weight",
        "output_blocks.2.1.conv.weight": "up_blocks.0.upsamplers.0.conv.weight",
        "output_blocks.5.2.conv.weight": "up_blocks.1.upsamplers.0.conv.weight",
        "output_blocks.5.1.norm.weight": "up_blocks.1.attentions.2.norm.weight",
        "output_blocks.11.0.skip_connection.weight": "up_blocks.3.resnets.2.conv_shortcut.weight",
        "time_embed.2.bias": "time_embedding.linear_2.bias",
        "label_emb.0.2.weight": "add_embedding.linear_2.weight",
        "out.0.weight": "conv_norm_out.weight",
    }  # fmt: skip
    found = unet_sources(f"model.diffusion_model.{name}" for name in unet)
    assert {renamed: source.name for renamed, source in found.items()} == {
        renamed: f"model.diffusion_model.{name}" for name, renamed in unet.items()
    }
    vae = {
        "decoder.up.3.block.0.norm1.weight": "decoder.up_blocks.0.resnets.0.norm1.weight",
        "decoder.up.1.upsample.conv.weight": "decoder.up_blocks.2.upsamplers.0.conv.weight",
        "encoder.down.0.downsample.conv.bias": "encoder.down_blocks.0.downsamplers.0.conv.bias",
        "encoder.down.1.block.0.nin_shortcut.weight": "encoder.down_blocks.1.resnets.0.conv_shortcut.weight",
        "decoder.mid.attn_1.proj_out.weight": "decoder.mid_block.attentions.0.to_out.0.weight",
        "encoder.mid.block_2.conv1.weight": "encoder.mid_block.resnets.1.conv1.weight",
        "encoder.norm_out.bias": "encoder.conv_norm_out.bias",
        "post_quant_conv.weight": "post_quant_conv.weight",
    }
    assert {renamed: source.name for renamed, source in vae_sources(vae, "").items()} == {
        renamed: name for name, renamed in vae.items()
    }
    prefix = "cond_stage_model.model."
    text = ["transformer.resblocks.22.attn.in_proj_bias", "transformer.resblocks.0.mlp.c_fc.weight", "text_projection"]
    found = text_sources((prefix + name for name in text), prefix)
    layer = "text_model.encoder.layers"
    thirds = [found[f"{layer}.22.self_attn.{which}_proj.bias"].cut(np.arange(6)).tolist() for which in "qkv"]
    assert thirds == [[0, 1], [2, 3], [4, 5]] and f"{layer}.0.mlp.fc1.weight" in found
    assert found["text_projection.weight"].shape((3, 2)) == (2, 3)
    old = text_sources(
        ["cond_stage_model.transformer.encoder.layers.0.layer_norm1.bias"], "cond_stage_model.transformer."
    )
    assert list(old) == [f"{layer}.0.layer_norm1.bias"]


def of_file(tensors, tmp_path, changes, told="", **metadata):
    """What a file with changed tensors is opened as; None takes one out."""
    changed = {name: value for name, value in (tensors | changes).items() if value is not None}
    return open_single_file(write_single(changed, tmp_path / "changed.safetensors", **metadata), prediction_type=told)


ZERO_SNR = np.zeros(1000, np.float32)


def test_what_the_unet_predicts_is_told_by_the_file_or_must_be_said(made, tmp_path):
    of_2, of_1 = made("sd21")[2], made("sd15")[2]
    cases = [
        (of_2, {}, {"prediction_type": "v"}, "", "v_prediction", 96),
        (of_2, {}, {"prediction_type": "epsilon"}, "", "epsilon", 64),
        (of_2, {}, {"architecture": "stable-diffusion-v2-768-v"}, "", "v_prediction", 96),
        (of_2, {}, {"architecture": "stable-diffusion-v2-512"}, "", "epsilon", 64),
        (of_2, {}, {"prediction_type": "v"}, "epsilon", "epsilon", 64),  # what is said goes first
        (of_1, {}, {}, "", "epsilon", 64),
        (of_1, {}, {}, "v_prediction", "v_prediction", 64),
        (of_1, {"v_pred": ZERO_SNR[:0], "ztsnr": ZERO_SNR[:0]}, {}, "", "v_prediction", 64),
    ]
    for tensors, changes, metadata, told, prediction, size in cases:
        opened = of_file(tensors, tmp_path, changes, told, **metadata)
        assert opened.scheduler["prediction_type"] == prediction and opened.configs["unet"]["sample_size"] == size
        assert opened.scheduler.get("rescale_betas_zero_snr", False) == ("ztsnr" in changes)
    with pytest.raises(InputError, match=r"not say what its UNet predicts: say generator.prediction_type=v_prediction"):
        of_file(of_2, tmp_path, {})
    with pytest.raises(InputError, match=r"modelspec.prediction_type = 'flow', which is not known"):
        of_file(of_2, tmp_path, {}, prediction_type="flow")
    with pytest.raises(InputError, match="a noise schedule of its own"):
        of_file(of_1, tmp_path, {"alphas_cumprod": np.linspace(1, 0.1, 1000)})
    root = np.sqrt(of_1["alphas_cumprod"].astype(np.float64))
    zero = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2  # Lin et al. 2023, algorithm 1
    assert of_file(of_1, tmp_path, {"alphas_cumprod": zero}, "v_prediction").scheduler["rescale_betas_zero_snr"]


def zeros(*names):
    return {name: np.zeros((2, 2), np.float32) for name in names}


UNET, VAE = "model.diffusion_model.", "first_stage_model."
EMBEDDINGS = "cond_stage_model.transformer.text_model.embeddings"
CHANGES = {
    r"an inpainting checkpoint \(its UNet takes 9 channels\)": {"input_blocks.0.0.weight": np.zeros((32, 9, 3, 3))},
    "is not complete: its UNet lacks 'mid_block.attentions.0.proj_in.weight'": {"middle_block.1.proj_in.weight": None},
    "its text encoder lacks 'text_model.embeddings.position": {f"{EMBEDDINGS}.position_embedding.weight": None},
    r"is a LoRA \('lora_unet_x.lora_down.weight'\): name it as generator.lora": zeros("lora_unet_x.lora_down.weight"),
    "knows 7 tokens, and CLIP's vocabulary has 49408": {f"{EMBEDDINGS}.token_embedding.weight": np.zeros((7, 64))},
}


@pytest.mark.parametrize("message", CHANGES)
def test_other_checkpoints_are_named_before_weights_are_read(made, tmp_path, message):
    with pytest.raises(InputError, match=message):
        changes = {UNET * ("block" in name) + name: value for name, value in CHANGES[message].items()}
        of_file(made("sd15")[2], tmp_path, changes)


def test_a_file_with_half_of_its_tensors(made, tmp_path):
    tensors = made("sd15")[2]
    for seed in range(4):
        some = np.random.default_rng(seed).choice(sorted(tensors), len(tensors) // 2, replace=False)
        half = write_single({name: tensors[name] for name in some}, tmp_path / "half.safetensors")
        with pytest.raises(InputError, match=rf"^{half} is not complete: it"):
            load_checkpoint(half)
    cases = {
        "it lacks 1 tensors of the unet, as diffusers names them 'conv_in.bias'": {f"{UNET}input_blocks.0.0.bias": None},
        "holds 1 tensors that the unet does not have, 'model.diffusion_model.gate'": {f"{UNET}gate": np.zeros(1)},
        r"'first_stage_model.quant_conv.bias' has shape \(3,\), and the vae asks for \(8,\)": {
            f"{VAE}quant_conv.bias": np.zeros(3)},
    }  # fmt: skip
    for message, changes in cases.items():
        changed = {name: value for name, value in (tensors | changes).items() if value is not None}
        with pytest.raises(InputError, match=message):
            load_checkpoint(write_single(changed, tmp_path / "changed.safetensors"))


OTHERS = {
    "this is SDXL's refiner": zeros("conditioner.embedders.0.model.ln_final.weight", f"{UNET}out.2.bias"),
    "holds a UNet without a text encoder": zeros(f"{UNET}out.2.bias", f"{VAE}quant_conv.bias"),
    "a textual inversion: name it as generator.embeddings": zeros("emb_params"),
    "an autoencoder alone: name it as generator.vae": zeros("decoder.mid.block_1.conv1.weight"),
    "one part of a folder: name the folder": zeros("down_blocks.0.resnets.0.conv1.weight"),
    "no checkpoint that is known .'weights' first.": zeros("weights"),
    "no checkpoint that is known .'nothing' first.": {},
}
OF_FAMILIES = {  # names that stand in their files
    "FLUX.1": "double_blocks.0.img_attn.norm.key_norm.scale",
    "FLUX.2": f"{UNET}single_stream_modulation.lin.weight",
    "Chroma": "distilled_guidance_layer.in_proj.weight",
    "Stable Diffusion 3": f"{UNET}joint_blocks.0.context_block.adaLN_modulation.1.bias",
    "Stable Diffusion 3.5": f"{UNET}joint_blocks.0.x_block.attn.ln_q.weight",
    "Qwen-Image": "transformer_blocks.0.img_mod.1.weight",
    "Z-Image": f"{UNET}layers.0.adaLN_modulation.0.weight",
    "Lumina": f"{UNET}cap_embedder.0.weight",
    "HiDream": "double_stream_blocks.0.block.adaLN_modulation.1.bias",
    "AuraFlow": "double_layers.0.attn.w1q.weight",
    "PixArt": "t_block.1.weight",
    "Sana": "attention_y_norm.weight",
    "Stable Cascade": "clip_txt_mapper.weight",
    "Kandinsky": "visual_transformer_blocks.0.self_attention.to_query.weight",
    "HunyuanVideo": "txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias",
    "Hunyuan-DiT": "mlp_t5.0.weight",
    "LTX-Video": "patchify_proj.weight",
    "Wan": "head.modulation",
    "Cosmos": "net.x_embedder.proj.1.weight",
    "Mochi": "t5_yproj.weight",
    "Playground 2.5": "edm_mean",
    "CosXL": "edm_vpred.sigma_max",
    "Stable Video Diffusion": f"{UNET}input_blocks.1.0.time_stack.in_layers.0.bias",
    "ControlNet": "control_model.time_embed.0.weight",
    "AnimateDiff": "down_blocks.0.motion_modules.0.temporal_transformer.norm.bias",
    "Stable unCLIP": "embedder.model.visual.proj",
}


def test_other_files_are_named(tmp_path):
    file = tmp_path / "file.safetensors"
    for message, tensors in OTHERS.items():
        save_file(tensors, file)
        with pytest.raises(InputError, match=f"^{file}.* {message}|^{file}: {message}"):
            load_checkpoint(file)
    for family, name in OF_FAMILIES.items():
        save_file(zeros(name), file)
        with pytest.raises(
            InputError, match=rf"is of the family {re.escape(family)} \('{re.escape(name)}'\); only Stable"
        ):
            load_checkpoint(file)
    assert {family.name for family in FAMILIES if family.tensors} == set(OF_FAMILIES)


def test_every_pipeline_of_a_family_is_known():
    """Of the classes that diffusers has."""
    package = importlib.util.find_spec("diffusers")
    if package is None:
        pytest.skip("diffusers is not installed")
    names = re.findall(r'"(\w+Pipeline)"', Path(package.origin).read_text())
    known = {name: family_of_pipeline(name) for name in names}
    starts = {
        "Flux": "FLUX.1", "Flux2": "FLUX.2", "StableDiffusion3": "Stable Diffusion 3", "QwenImage": "Qwen-Image",
        "ZImage": "Z-Image", "PixArt": "PixArt", "StableCascade": "Stable Cascade", "Kandinsky": "Kandinsky",
        "AuraFlow": "AuraFlow", "Sana": "Sana", "HunyuanDiT": "Hunyuan-DiT", "IF": "DeepFloyd IF", "Wan": "Wan",
    }  # fmt: skip
    for start, family in starts.items():
        of_start = [
            name for name in names if name.startswith(start) and not (start == "Flux" and name.startswith("Flux2"))
        ]
        assert {known[name] for name in of_start} == {family}, start
    assert not any(known[name] for name in names if name in ("StableDiffusionPipeline", "StableDiffusionXLPipeline"))


def test_files_that_are_no_safetensors(made, tmp_path):
    whole = write_single(made("sd15")[2], tmp_path / "whole.safetensors").read_bytes()
    cases = {
        "a git-lfs pointer and not the weights: `git lfs pull`": b"version https://git-lfs.github.com/spec/v1\noid",
        "a web page and not the weights": b"\n<!DOCTYPE html><html>",
        "a GGUF file of quantised weights": b"GGUF\x03\x00\x00\x00" + bytes(64),
        "a zip file, as torch.save writes": b"PK\x03\x04" + bytes(64),
        f"cut: it has 100,000 bytes of {len(whole):,} or more; download it again": whole[:100_000],
        "cut: it has 200 bytes": whole[:200],
        "not a readable safetensors file": b"",
    }
    for message, content in cases.items():
        (tmp_path / "file.safetensors").write_bytes(content)
        with pytest.raises(InputError, match=f"file.safetensors is {message}"):
            load_checkpoint(tmp_path / "file.safetensors")
    (tmp_path / "model.ckpt").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"model.ckpt is a pickle: it could run any code and is not read"):
        load_checkpoint(tmp_path / "model.ckpt")
    with pytest.raises(InputError, match=r"has no folder unet, and single files: name one of them, such as .*file.saf"):
        load_checkpoint(tmp_path)


def test_an_autoencoder_apart(made, tmp_path):
    networks, params, tensors = made("sd15")
    lacks = {name: value for name, value in tensors.items() if not name.startswith(VAE)}
    file = write_single(lacks, tmp_path / "lacks.safetensors")
    with pytest.raises(InputError, match=r"holds no autoencoder: name one, as generator.vae=FILE"):
        load_checkpoint(file)
    other = params | {"vae": jax.tree.map(lambda x: -x, params["vae"])}
    other["vae"] = jax.tree.map(np.asarray, other["vae"])
    renamed = {k: v for k, v in single_file_tensors(networks, other).items() if k.startswith(VAE)}
    alone = {name.removeprefix(VAE): value for name, value in renamed.items()}
    save_checkpoint(
        tmp_path / "folder", networks, other, {"beta_start": 0.1, "beta_end": 0.2, "beta_schedule": "linear"}
    )
    diffusers = load_file(tmp_path / "folder" / "vae" / "diffusion_pytorch_model.safetensors")
    kinds = {
        "prefixed": write_single(renamed, tmp_path / "prefixed.safetensors"),
        "alone": write_single(alone | zeros("loss.logvar"), tmp_path / "alone.safetensors"),
        "of diffusers": write_single(diffusers, tmp_path / "of_diffusers.safetensors"),
        "folder": tmp_path / "folder" / "vae",
        "checkpoint": tmp_path / "folder",
    }
    for vae in kinds.values():
        read = load_checkpoint(file, vae=str(vae)).params
        jax.tree.map(np.testing.assert_array_equal, read, other)
    of_16 = write_single(alone | {"decoder.conv_in.weight": np.zeros((64, 16, 3, 3))}, tmp_path / "of_16.safetensors")
    cases = {
        "has latents of 16 channels, as SD 3 and FLUX, and the UNet takes 4": of_16,
        "holds no autoencoder of Stable Diffusion": file,
        "there is no autoencoder at": tmp_path / "none",
        r"text_encoder holds a \['CLIPTextModel'\] \(config.json\), and generator.vae is an AutoencoderKL": tmp_path
        / "folder"
        / "text_encoder",
    }
    for message, vae in cases.items():
        with pytest.raises(InputError, match=message):
            load_checkpoint(file, vae=str(vae))
    config = tmp_path / "folder" / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"scaling_factor": 0.13025}))
    with pytest.raises(
        InputError, match=r"scales latents by 0.13025, the checkpoint's own by 0.18215: it is of another"
    ):
        load_checkpoint(file, vae=str(tmp_path / "folder"))


def test_the_prediction_type_of_a_folder_can_be_said(made, tmp_path):
    networks, params, _ = made("sd15")
    scheduler = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    save_checkpoint(tmp_path, networks, params, scheduler)
    write_clip_tokenizers(tmp_path, "sd15")
    assert load_checkpoint(tmp_path).scheduler["prediction_type"] == "epsilon"
    assert load_checkpoint(tmp_path, prediction_type="v_prediction").scheduler["prediction_type"] == "v_prediction"
    with pytest.raises(InputError, match="there is no prediction type 'v' among epsilon, v_prediction, sample"):
        load_checkpoint(tmp_path, prediction_type="v")
