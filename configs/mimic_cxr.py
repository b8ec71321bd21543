"""Does a chest X-ray classifier read the patient instead of the picture? After DEPICT's study of MIMIC-CXR.

    python launch/explain.py --config=configs/mimic_cxr.py --workdir=runs/mimic \\
        --config.data.path=mimic.csv --config.data.image=path --config.data.label=Pneumonia \\
        --config.generator.path=path/to/finetuned-stable-diffusion --config.target.path=path/to/classifier

mimic.csv joins MIMIC-CXR-JPG's tables with MIMIC-IV's: dicom_id, subject_id, path, age (years), bmi (kg/m2), sex (M, F),
one column for each CheXpert finding (1, 0, -1 for uncertain, empty) and the label (0, 1). Ages and body mass indices are
said as ranges; a finding is said where it is certain. Patients are resampled as a whole.
"""

from ml_collections import ConfigDict

from cpi_jax.cli.config import base_config, data_config

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "Pleural Effusion", "Pleural Other", "Pneumothorax", "Support Devices",
)  # fmt: skip


def get_config() -> ConfigDict:
    config = base_config()
    findings = {name: {"1": name.lower(), "0": "", "-1": ""} for name in FINDINGS}
    config.data = data_config(
        "table",
        id="dicom_id",
        concepts=("age", "bmi", "sex", *FINDINGS),
        bins={"age": (40, 60, 80), "bmi": (18.5, 25, 30)},
        phrases={"age": "age {value}", "bmi": "BMI {value}", "sex": {"M": "male", "F": "female"}, **findings},
        columns=("subject_id",),
    )
    config.statistics.cluster = "subject_id"
    config.empty = "a chest X-ray"
    return config
