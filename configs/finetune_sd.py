"""Goes on training a checkpoint of SD 1.x, 2.x or XL on your captions: the UNet, with the text encoders, or a LoRA alone.

    python launch/train_generator.py --config=configs/finetune_sd.py --workdir=runs/finetuned \\
        --config.init=FOLDER --config.data.path=captions.csv \\
        --config.data.label=home --config.data.image=file_name

FOLDER may be hub:OWNER/NAME, a repository of the Hugging Face Hub. Then
--config.generator.path=runs/finetuned/export; of a LoRA, that folder holds the merged checkpoint and lora.safetensors.
`data` is that of configs/table.py (captions made of columns); another source, with free text for example, is chosen by
--config=configs/finetune_sd.py:folder. The same command resumes.
"""

from ml_collections import ConfigDict

from cpi_jax.cli.config import data_config, denoiser_defaults


def get_config(source: str = "table") -> ConfigDict:
    data = data_config(source)
    if "image_size" in data:
        data.image_size = 512
    return ConfigDict(
        {
            "seed": 0,
            "init": "",
            "data": data,
            "separator": ", ",
            "empty": "a photo",
            "neutral": "",
            "held_out": 64,  # examples that are not trained on: the sample sheets and the detector's score are of them
            "unet": {
                **denoiser_defaults(),
                "trained": "unet",  # or "unet+text_encoder", or "lora"
                "num_steps": 4_000,
                "batch_size": 16,
                "min_snr_gamma": 5.0,
                "optimizer": {"learning_rate": 1e-5, "warmup": 200, "final": 1e-6},  # of a LoRA rather 1e-4
            },
            # Training ends after `patience` exports whose mean AUROC is no better; 0: never.
            "evaluation": {"steps": 20, "guidance_scale": 7.5, "detector": "", "patience": 3},
        }
    )
