"""Which method recovers known importances? 100 bottlenecks and 20 networks, ours beside GradCAM and LIME.

    python launch/recovery.py --config=configs/recovery_shapes.py --workdir=runs/recovery --page=docs     (make recovery)
    python launch/recovery.py --config=configs/recovery_shapes.py:tiny --workdir=runs/recovery_tiny

The images' scores are kept in the workdir; the same command goes on where it was stopped.
"""

from ml_collections import ConfigDict


def get_config(size: str = "full") -> ConfigDict:
    if size not in ("full", "tiny"):
        raise ValueError(f"configs/recovery_shapes.py comes as 'full' or 'tiny', not {size!r}")
    tiny = size == "tiny"
    n = 32 if tiny else 200
    leak = ("red circle", "blue rectangle")
    worlds = {
        "correlation_3": {"name": "correlation .3", "correlation": 0.3},
        "correlation_6": {"name": "correlation .6", "correlation": 0.6},
        "correlation_9": {"name": "correlation .9", "correlation": 0.9},
        "steps_5": {"name": "5 steps", "steps": 5},
        "steps_10": {"name": "10 steps", "steps": 10},
        "steps_20": {"name": "20 steps", "steps": 20},
        "guidance_1": {"name": "guidance 1", "guidance_scale": 1.0},
        "guidance_7": {"name": "guidance 7.5", "guidance_scale": 7.5},
        "noise": {"name": "UNet weights with noise", "unet_noise": 0.15},
        "leak": {"name": "leak", "leak": leak},
    }
    if tiny:
        worlds = {name: worlds[name] for name in ("correlation_6", "leak")}
    return ConfigDict(
        {
            "seed": 0,
            "num_models": 8 if tiny else 100,
            "models_seed": 1,  # of the bottlenecks' weights
            "num_networks": 3 if tiny else 20,  # of the embedded ones
            "num_examples": n if tiny else 500,
            "draws": 2 if tiny else 4,  # of the main table, from which smaller sizes are cut
            "headline_draws": 2,  # what the headline uses of them: the default of a study
            "lime": {
                "num_segments": 50,
                "num_samples": 40 if tiny else 300,
                "network_images": 8 if tiny else 100,  # that the networks' LIME sees; the bottlenecks' sees all
            },
            "worlds": {name: {"num_examples": n, **world} for name, world in worlds.items()},
        }
    )
