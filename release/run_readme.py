"""Runs the Python of a Markdown page from above to below, as a reader would who pastes it.

python release/run_readme.py README.md
"""

import re
import sys
from pathlib import Path

names: dict[str, object] = {}
for block in re.findall(
    r"^```python\n(.*?)^```", Path(sys.argv[1]).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
):
    exec(compile(block, sys.argv[1], "exec"), names)
