"""Which method recovers known importances? 100 bottlenecks and 20 networks, ours beside GradCAM and LIME.

    make recovery
    python -m benchmarks.recovery --config=benchmarks/recovery/config.py:tiny --workdir=runs/recovery_tiny

The images' scores are kept in the workdir; the same command goes on where it was stopped.
"""

from ml_collections import ConfigDict

from cpi_jax.errors import require_known


def get_config(size: str = "full") -> ConfigDict:
    require_known(size, "size", ("full", "tiny"))
    tiny = size == "tiny"
    n = 27 if tiny else 200
    worlds = {
        "correlation .3": {"correlation": 0.3},
        "correlation .6": {"correlation": 0.6},
        "correlation .9": {"correlation": 0.9},
        "5 steps": {"steps": 5},
        "10 steps": {"steps": 10},
        "20 steps": {"steps": 20},
        "guidance 1": {"guidance_scale": 1.0},
        "guidance 7.5": {"guidance_scale": 7.5},
        "UNet weights with noise": {"unet_noise": 0.55},
        "leak": {"leak": ("red circle", "blue rectangle")},
    }
    if tiny:
        worlds = {"leak": worlds["leak"]}
    return ConfigDict(
        {
            "seed": 0,
            "num_models": 8 if tiny else 100,
            "models_seed": 1,  # of the bottlenecks' weights
            "num_networks": 2 if tiny else 20,  # of the embedded ones
            "num_examples": n if tiny else 500,
            "draws": 1 if tiny else 4,  # of the main table, from which smaller sizes are cut
            "headline_draws": 1 if tiny else 2,  # what the headline uses of them; two are the default of a study
            "network_images": 8 if tiny else 100,  # that the networks' heat maps see; the bottlenecks' see all
            # 300 perturbations instead of 100 move LIME's mean Pearson correlation from .866 to .871 (BUILD_NOTES.md).
            "lime": {"num_segments": 50, "num_samples": 40 if tiny else 100},
            # Each has a row in the table of what makes things harder; see benchmarks/recovery/worlds.py for the fields.
            "worlds": tuple({"name": name, "num_examples": n, **world} for name, world in worlds.items()),
        }
    )
