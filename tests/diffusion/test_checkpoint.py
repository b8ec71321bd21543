"""Checkpoint folders: what is read, downloaded, refused. Long, since all tests share one miniature's folder."""

import json
import re
from fnmatch import fnmatch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.serialization import msgpack_serialize
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict
from safetensors.numpy import load_file, save_file

from cpi_jax.checkpoints.weights import torch_name
from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.cli.from_config import generator_from_config
from cpi_jax.diffusion.checkpoint import load_checkpoint, load_generator, save_checkpoint
from cpi_jax.diffusion.lora import lora_deltas
from cpi_jax.embedded import find_embedded
from cpi_jax.errors import InputError
from cpi_jax.training.vocabulary import write_tokenizer
from tests.flax_names import with_flax_names
from tests.mini import SCHEDULER, mini_networks, mini_params
from tests.words import WORDS

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    networks = mini_networks()
    write_tokenizer(WORDS, tmp_path / "tokenizer", 32)
    save_checkpoint(tmp_path, networks, mini_params(), SCHEDULER)
    return tmp_path


def test_what_was_written_is_read_back(folder):
    generator, tokenizer = load_generator(folder)
    expected = jax.tree.map(lambda x: np.asarray(x, np.float16).astype(np.float32), mini_params())
    jax.tree.map(np.testing.assert_array_equal, dict(generator.params.networks), dict(expected))
    assert tokenizer.encode("1 red circle", add_special_tokens=False) == [0, 1, 4]
    np.testing.assert_array_equal(generator.params.unconditional[:4], [12, 13, 13, 13])


def test_weights_have_pytorch_diffusers_names_and_layout(folder):
    unet = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert unet["conv_in.weight"].shape == (32, 4, 3, 3)
    assert unet["down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0.weight"].shape == (32, 32)
    assert unet["mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.weight"].shape == (256, 32)
    vae = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    assert {"encoder.mid_block.attentions.0.to_q.weight", "quant_conv.weight"} <= set(vae)
    text = load_file(folder / "text_encoder" / "model.safetensors")
    assert text["text_model.encoder.layers.0.self_attn.q_proj.weight"].dtype == np.float16
    kernel = mini_params()["unet"]["conv_in"]["kernel"]
    np.testing.assert_allclose(unet["conv_in.weight"][1, 2], np.asarray(kernel)[:, :, 2, 1], atol=1e-3)


def test_names_are_one_to_one():
    for part in mini_params().values():
        names = [torch_name(key) for key in flatten_dict(part)]
        assert len(set(names)) == len(names)


def edit_tensors(path, edit):
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    "part", ["vae/config.json", "unet/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json"]
)
def test_a_missing_part_is_named(folder, part):
    (folder / part).unlink()
    with pytest.raises(ValueError, match=f"the checkpoint has no {part}"):
        load_generator(folder)


def test_a_missing_or_misshapen_tensor_is_named(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    edit_tensors(path, lambda t: t.update({"conv_in.bias": np.zeros(7, np.float16)}))
    with pytest.raises(ValueError, match=r"'conv_in.bias' has shape \(7,\)"):
        load_generator(folder)
    edit_tensors(path, lambda t: t.pop("conv_in.bias"))
    with pytest.raises(ValueError, match=r"lacks the tensor 'conv_in.bias'"):
        load_generator(folder)
    path.write_bytes(b"not tensors")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_generator(folder)


def test_an_unsupported_scheduler_is_refused(folder):
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(SCHEDULER | {"prediction_type": "flow"}))
    with pytest.raises(InputError, match="prediction_type 'flow'"):
        load_generator(folder)
    path.write_text(json.dumps(SCHEDULER | {"use_karras_sigmas": True}))
    with pytest.raises(InputError, match="use_karras_sigmas = True is not supported"):
        load_generator(folder)


def same_params(folder):
    generator, _ = load_generator(folder)
    expected = jax.tree.map(lambda x: np.asarray(x, np.float16).astype(np.float32), mini_params())
    jax.tree.map(np.testing.assert_array_equal, dict(generator.params.networks), dict(expected))


def test_weights_in_several_files(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    where = {}
    for n, name in enumerate(sorted(tensors)):
        where[name] = f"diffusion_pytorch_model-{n % 3:05d}-of-00003.safetensors"
    for file in set(where.values()):
        save_file({name: value for name, value in tensors.items() if where[name] == file}, folder / "unet" / file)
    path.unlink()
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    same_params(folder)
    (folder / "unet" / file).unlink()
    with pytest.raises(InputError, match=f"the checkpoint has no unet/{file}"):
        load_generator(folder)
    index.write_text("{}")
    with pytest.raises(InputError, match=r"index.json is damaged"):
        load_generator(folder)


def test_half_precision_variants_and_other_types(folder):
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.rename(folder / "vae" / "diffusion_pytorch_model.fp16.safetensors")
    text = folder / "text_encoder" / "model.safetensors"
    save_file({name: value.astype(np.float32) for name, value in load_file(text).items()}, text)
    same_params(folder)
    save_file({name: value.astype(jnp.bfloat16) for name, value in load_file(text).items()}, text)
    generator, _ = load_generator(folder, dtype="bfloat16")
    assert {x.dtype for x in jax.tree.leaves(generator.params.networks)} == {jnp.dtype("bfloat16")}


def test_flax_msgpack(folder):
    for part, file in {
        "unet": "diffusion_flax_model",
        "vae": "diffusion_flax_model",
        "text_encoder": "flax_model",
    }.items():
        for tensors in (folder / part).glob("*.safetensors"):
            tensors.unlink()
        halves = jax.tree.map(lambda x: np.asarray(x, np.float16), with_flax_names(part, mini_params()[part]))
        (folder / part / f"{file}.msgpack").write_bytes(msgpack_serialize(halves))
    same_params(folder)
    (folder / "unet" / "diffusion_flax_model.msgpack").write_bytes(msgpack_serialize({"conv_in": {}}))
    with pytest.raises(InputError, match=r"diffusion_flax_model.msgpack lacks"):
        load_generator(folder)
    for damaged in (b"\xc1nonsense", b""):
        (folder / "unet" / "diffusion_flax_model.msgpack").write_bytes(damaged)
        with pytest.raises(InputError, match="not a readable Flax msgpack file"):
            load_generator(folder)


def test_lora_is_merged_into_the_weights(folder, tmp_path):
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    rng = np.random.default_rng(0)
    down, up = rng.normal(size=(2, 16)).astype(np.float32), rng.normal(size=(32, 2)).astype(np.float32)
    file = tmp_path / "style.safetensors"
    save_file({f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}, file)
    plain, merged = (load_generator(folder, lora=lora)[0].params.networks for lora in ("", f"{file}:0.5"))
    differs = [
        torch_name(key)
        for key, value in flatten_dict(plain["unet"]).items()
        if not np.array_equal(value, flatten_dict(merged["unet"])[key])
    ]
    assert differs == [f"{name}.weight"]
    kernels = [tree["unet"]["down_blocks.1"]["attentions.0"]["transformer_blocks.0"] for tree in (plain, merged)]
    before, after = (kernel["attn2"]["to_k"]["kernel"] for kernel in kernels)
    np.testing.assert_allclose(after - before, (0.5 * up @ down).T, atol=1e-5)


def with_json(folder, file, change):
    content = json.loads((folder / file).read_text()) | change
    (folder / file).write_text(json.dumps(content))


OTHER_KINDS = {
    "StableDiffusion3Pipeline .model_index.json., of the family Stable Diffusion 3; only": (
        "model_index.json",
        {"_class_name": "StableDiffusion3Pipeline"},
    ),
    "the checkpoint has no text_encoder_2/config.json": ("unet/config.json", {"addition_embed_type": "text_time"}),
    "addition_embed_type = 'image', which is not supported": ("unet/config.json", {"addition_embed_type": "image"}),
    "time_cond_proj_dim = 256": ("unet/config.json", {"time_cond_proj_dim": 256}),
    "blocks of the kind AttnDownBlock2D": (
        "unet/config.json",
        {"down_block_types": ["DownBlock2D", "AttnDownBlock2D"]},
    ),
    "takes 9 channels and a picture's latents have 4: inpainting": ("unet/config.json", {"in_channels": 9}),
    "gives 16 numbers a token .hidden_size. and the UNet takes 24": ("unet/config.json", {"cross_attention_dim": 24}),
    "model_type = 't5'": ("text_encoder/config.json", {"model_type": "t5"}),
    "lacks the tensor": ("unet/config.json", {"layers_per_block": 2}),
}


@pytest.mark.parametrize("message", OTHER_KINDS)
def test_checkpoints_of_another_kind_are_refused_by_name(folder, message):
    with_json(folder, *OTHER_KINDS[message])
    with pytest.raises(InputError, match=message):
        load_generator(folder)


def test_early_checkpoints_name_half_their_size(folder):
    with_json(folder, "unet/config.json", {"_diffusers_version": "0.6.0", "sample_size": 32})
    assert load_generator(folder)[0].apply.networks.latent_shape == (64, 64, 4)
    with_json(folder, "unet/config.json", {"_diffusers_version": "0.10.2"})
    assert load_generator(folder)[0].apply.networks.latent_shape == (32, 32, 4)


def test_a_pickle_is_refused_with_the_way_to_convert_it(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(InputError, match=r"only diffusion_pytorch_model.bin, which is a pickle.*save_pretrained"):
        load_generator(folder)


class Hub:
    """Stands for huggingface_hub: a repository of files, and what was asked for, in order. There is no network."""

    def __init__(self, monkeypatch, cache, files):
        self.cache, self.files, self.asked = cache, files, []
        monkeypatch.setattr("huggingface_hub.hf_hub_download", self.one)
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.several)

    def one(self, repository, name, *, revision):
        self.asked.append((repository, revision, [name]))
        if name not in self.files:
            raise OSError(f"404: no {name}\nin many more words")
        return str(self._put(name))

    def several(self, repository, *, revision, allow_patterns, ignore_patterns):
        def wanted(name):
            chosen = any(fnmatch(name, pattern) for pattern in allow_patterns)
            return chosen and not any(fnmatch(name, pattern) for pattern in ignore_patterns)

        names = [name for name in self.files if wanted(name)]
        self.asked.append((repository, revision, names))
        for name in names:
            self._put(name)
        return str(self.cache)

    def _put(self, name):
        (self.cache / name).parent.mkdir(parents=True, exist_ok=True)
        (self.cache / name).write_bytes(self.files[name])
        return self.cache / name


COPIES = (
    "v1-5-pruned.safetensors", "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors", "unet/diffusion_flax_model.msgpack",
    "safety_checker/model.safetensors",
)  # fmt: skip


def test_of_a_repository_the_pipeline_is_judged_first_and_then_the_wanted_files_come(folder, tmp_path, monkeypatch):
    own = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    own["model_index.json"] = json.dumps({"_class_name": "StableDiffusionPipeline"}).encode()
    hub = Hub(monkeypatch, tmp_path / "cache", own | dict.fromkeys(COPIES, b"gigabytes"))
    load_generator("hub:someone/some-model@v2")
    assert [asked[:2] for asked in hub.asked] == [("someone/some-model", "v2")] * 2
    assert hub.asked[0][2] == ["model_index.json"] and sorted(hub.asked[1][2]) == sorted(own)

    unet = own.pop("unet/diffusion_pytorch_model.safetensors")
    hub = Hub(monkeypatch, tmp_path / "halves", own | {"unet/diffusion_pytorch_model.fp16.safetensors": unet})
    load_generator("hub:someone/in-halves")
    assert [names for _, _, names in hub.asked[2:]] == [[], ["unet/diffusion_pytorch_model.fp16.safetensors"]]

    hub = Hub(monkeypatch, tmp_path / "other", own | {"model_index.json": b'{"_class_name": "FluxPipeline"}'})
    with pytest.raises(
        InputError, match=r"^hub:someone/flux holds a FluxPipeline \(model_index.json\), of the family FLUX.1; only"
    ):
        load_generator("hub:someone/flux")
    assert hub.asked == [("someone/flux", None, ["model_index.json"])]

    hub = Hub(monkeypatch, tmp_path / "none", {})
    with pytest.raises(
        InputError, match=r"^hub:a/b could not be had from the Hugging Face Hub: 404: no model_index.json$"
    ):
        load_generator("hub:a/b")


def test_what_looks_like_a_path_asks_no_network(tmp_path, monkeypatch):
    hub = Hub(monkeypatch, tmp_path, {})
    monkeypatch.chdir(tmp_path)
    of_hub = "a repository of the Hugging Face Hub is said as hub:checkpoints/sd15"
    said = f"there is no checkpoint at checkpoints/sd15; {of_hub}"
    config = ConfigDict({"generator": {"path": "checkpoints/sd15", "lora": ""}, "sampler": {}})
    for read in (
        lambda: load_generator("checkpoints/sd15"),
        lambda: generator_from_config(config),
        lambda: load_checkpoint(find_embedded("generator", "checkpoints/sd15")),  # as of training
    ):
        with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
            read()
    for name in ("hub:sd15", "hub:", "hub:/a/b", "hub:a/b/c", "hub:a/b@", "hub:../b", "hub:a/b@v 1"):
        with pytest.raises(InputError, match=rf"^{re.escape(name)} must be hub:owner/name or hub:owner/name@revision$"):
            load_generator(name)
    mend = "name a folder; `huggingface-cli download a/b --revision v1 --local-dir FOLDER` fetches one"
    for read in (
        lambda: load_scorer("hub:a/b@v1"),
        lambda: find_embedded("target", "hub:a/b@v1"),
        lambda: lora_deltas("hub:a/b@v1", {}),
    ):
        with pytest.raises(InputError, match=f"'hub:a/b@v1' cannot be used here: {mend}"):
            read()
    with pytest.raises(InputError, match="there is no classifier at google/vit; `huggingface-cli download google/vit"):
        load_scorer("google/vit")
    assert not hub.asked


@pytest.mark.parametrize(
    "sampler, message",
    [
        ({"guidance_scale": 0.0}, "at least 1, not 0.0; 1 is no guidance"),
        ({"guidance_interval": (5.0, 1.0)}, "two noise levels"),
        ({"dtype": "float16"}, "float32 or bfloat16, not 'float16'"),
        ({"preset": "fastest"}, "bf16, interval, .*or empty, not 'fastest'"),
        ({"solver": "euler"}, "dpm_solver or ddim"),
        ({"guidance_interval": (0.02, 0.03)}, r"\(0.02, 0.03\) has no step in it: their noise levels are 14.6, "),
    ],
)
def test_impossible_samplers_are_refused(folder, sampler, message):
    with pytest.raises(InputError, match=message):
        load_generator(folder, **sampler)
