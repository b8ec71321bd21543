"""Which words a field can hold: said once in a table, by the field's name."""

from __future__ import annotations

# What a word of the field is called, and the words.
CHOICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "keep_images": ("kind of image", ("png", "jpeg")),
    "interval": ("interval", ("jackknife", "bootstrap")),
    "alternative": ("alternative", ("greater", "two-sided")),
    "figures": ("kind of figures", ("png", "svg", "pdf")),
    "report_images": ("choice of pictures for the report", ("none", "generated", "all")),
}
