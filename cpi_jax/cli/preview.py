"""A look at captions and their permutations before a study is made."""

from __future__ import annotations

import numpy as np

from cpi_jax.classifiers.named import TARGET
from cpi_jax.plan.describe import describe_variants
from cpi_jax.study import Study


def preview(study: Study, num_examples: int = 4) -> list[list[tuple[np.ndarray, str]]]:
    """Pictures of the first examples of a study: the real one, the regenerated one, and one with each concept changed.

    They are those that the study itself will make in its first draw.

    Args:
      study: may be readonly.
      num_examples: how many.

    Returns:
      For each example, pictures uint8 [H, W, 3] with what stands above them: caption, or the concept and its new content,
      and each classifier's score.
    """
    plan, examples = study.plan, study.examples
    example, feature = np.asarray(plan.variants.example), np.asarray(plan.variants.feature)
    shown = list(dict.fromkeys(example.tolist()))[:num_examples]  # the table's order
    wanted = []
    for i in shown:
        rows = np.flatnonzero(example == i)
        wanted.append([rows[feature[rows] == f][:1] for f in range(-1, len(plan.features))])
    rows = np.concatenate([row for line in wanted for row in line])
    images, scores = study.batch_scorer.render(rows)
    said = describe_variants(plan, examples, study.settings, rows).to_pandas()
    scored = [
        "\n".join(f"{name if name != TARGET else ''} {scores[name][n, 0]:+.2f}".strip() for name in study.targets)
        for n in range(len(rows))
    ]
    found = dict(zip(rows.tolist(), zip(images, scored, said.itertuples())))
    sheet = []
    for i, line in zip(shown, wanted):
        pictures = []
        if examples.images is not None:
            pictures.append((np.asarray(examples.images[i]), "real"))
        for row in np.concatenate(line).tolist():
            image, score, text = found[row]
            title = f"{text.feature}\n-> {text.value or 'absent'}" if text.feature else text.caption
            pictures.append((image, f"{title}\n{score}"))
        sheet.append(pictures)
    return sheet
