"""Writes the checkpoint in a single file as a folder in the Hugging Face layout, its weights in the file's own type.

    python launch/convert.py --from=checkpoint.safetensors --to=checkpoint

--config.generator.path takes a single file as it is; a folder is for what other programs read.
"""

from cpi_jax.cli import command_line  # isort: skip  first: from here on, Ctrl-C ends in a line

from absl import flags

from cpi_jax.cli.flags import define_folder

_FROM = flags.DEFINE_string("from", None, "The single file.")
_TO = define_folder("to", "The folder to write")
_VAE = flags.DEFINE_string("vae", "", "As --config.generator.vae.")
_PREDICTION = flags.DEFINE_string("prediction_type", "", "As --config.generator.prediction_type.")


def main():
    from cpi_jax.diffusion.checkpoint import load_checkpoint, save_checkpoint
    from cpi_jax.diffusion.single_file import stored_dtype
    from cpi_jax.files.location import find_path, require_new

    file, folder = find_path(_FROM.value), require_new(_TO.value)
    dtype = stored_dtype(file, _VAE.value)
    checkpoint = load_checkpoint(file, vae=_VAE.value, prediction_type=_PREDICTION.value, dtype=dtype)
    save_checkpoint(folder, checkpoint.networks, checkpoint.params, checkpoint.scheduler, dtype)
    checkpoint.write_tokenizers(folder)
    print(f"written: {folder}, weights in {dtype.name}; use it with --config.generator.path={folder}")


if __name__ == "__main__":
    command_line.run(main, required=("from", "to"))
