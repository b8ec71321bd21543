"""Parameters as the Flax networks of diffusers and transformers name them."""

from flax.traverse_util import flatten_dict, unflatten_dict

_VAE_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out_0": "proj_attn"}


def with_flax_names(part, params):
    """Our parameters of "text_encoder", "unet" or "vae" under the names of their Flax modules and files."""
    return unflatten_dict({_path(part, key): value for key, value in flatten_dict(params).items()})


def _path(part, key):
    path = []
    for word in ".".join(key).split("."):
        if word.isdigit() and path[-1] != "layers":
            path[-1] += f"_{word}"
        else:
            path.append(word)
    if part == "vae" and "attentions_0" in path:
        path = [_VAE_ATTENTION.get(word, word) for word in path]
    return tuple(path)
