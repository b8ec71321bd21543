"""Classifiers of PyTorch's transformers with random weights, saved by it and read by `load_scorer`: do the logits agree?

python -m tests.torch_classifiers      (make parity; in an environment with torch)
"""

import tempfile
from pathlib import Path

import jax
import numpy as np
import torch
import transformers as hf

from cpi_jax.captions.clip_vocabulary import write_clip_vocabulary
from cpi_jax.classifiers.transformers_models import load_transformers

PROMPTS = ("a photo of a cat", "a dog", "two red circles")
LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
VISION = {**LAYERS, "image_size": 32, "patch_size": 8}
RESNET = {"embedding_size": 16, "hidden_sizes": [32, 64], "depths": [2, 2], "num_labels": 5}


def classifiers():
    """(name, model, image processor, prompts)."""
    square = {"height": 32, "width": 32}
    yield "ViT", hf.ViTForImageClassification(hf.ViTConfig(**VISION)), hf.ViTImageProcessor(size=square), ()
    for kind in ("basic", "bottleneck"):
        model = hf.ResNetForImageClassification(hf.ResNetConfig(**RESNET, layer_type=kind))
        yield f"ResNet, {kind}", model, hf.ConvNextImageProcessor(size={"shortest_edge": 56}, crop_pct=0.875), ()
    clip = hf.CLIPModel(hf.CLIPConfig(text_config=LAYERS, vision_config=VISION, projection_dim=24))
    yield "CLIP", clip, hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=square), PROMPTS


@torch.no_grad()
def randomise(model):
    """Weights large enough to tell one wiring from another, and batch norms that have seen data."""
    for value in model.parameters():
        value.mul_(2 if value.ndim > 1 else 1)
    for name, value in model.named_buffers():
        if name.endswith("running_mean"):
            value.normal_()
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
    return model.eval()


def main():
    torch.manual_seed(0)
    images = list(np.random.default_rng(0).integers(0, 256, (3, 80, 100, 3), np.uint8))
    for name, model, processor, prompts in classifiers():
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            randomise(model).save_pretrained(folder)
            processor.save_pretrained(folder)
            inputs = dict(processor(images, return_tensors="pt"))
            if prompts:
                write_clip_vocabulary(Path(folder), "<|endoftext|>")
                inputs |= hf.CLIPTokenizer.from_pretrained(folder)(list(prompts), padding=True, return_tensors="pt")
            out = model(**inputs)
            expected = (out.logits_per_image if prompts else out.logits).numpy()
            scorer = load_transformers(folder, prompts).scorer
        pixels = np.asarray(inputs["pixel_values"]).transpose(0, 2, 3, 1)
        found = np.asarray(jax.jit(scorer.apply)(scorer.params, pixels))
        error = np.abs(found - expected).max() / np.abs(expected).max()
        print(f"{name}: logits differ by {error:.1e} of the largest")
        assert error < 1e-5


if __name__ == "__main__":
    main()
