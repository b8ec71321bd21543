"""What a page tells its reader to do: its Python and its commands, in order."""

import re
import shlex
from typing import NamedTuple

OWN = ("configs", "new", "--help", "--version")  # of `cpi-jax`, beside the programs under launch/


class Step(NamedTuple):
    """Python to execute, or the words of a command."""

    python: str = ""
    words: tuple[str, ...] = ()


def steps(page):
    """The fenced Python, the indented commands and the launches within a sentence; comments are left out."""
    found, in_list, lines = [], False, iter(page.splitlines())
    for line in lines:
        in_list = bool(re.match(r" *- ", line)) or (in_list and line != "")  # whose lines are indented, too
        if line.startswith("```python"):
            block = iter(lambda: next(lines), "```")
            found.append(Step(python="\n".join(block) + "\n"))
        elif re.match(r"    [\w./-]+( |$)", line) and not in_list:
            while line.endswith("\\"):
                line = line[:-1] + next(lines)
            words = shlex.split(line, comments=True)
            words = [word.replace("=...", "=configs/shapes.py") for word in words if word != "..."]
            found.append(Step(words=tuple(words)))
        else:
            said = re.findall(r"`((?:\.venv/bin/)?python launch/[^`]+)`", line)
            found += [Step(words=tuple(shlex.split(command))) for command in said]
    return found


def launches(words):
    """The launches of a command, as (program, arguments): none for a command that is none of ours."""
    if words[0] == "cpi-jax" and words[1] not in OWN:
        plans = words[1] == "plan"
        workdir = any(word.startswith("--workdir") for word in words)
        more = ["--workdir=runs/any"] * (words[1] in ("explain", "plan") and not workdir)
        program = "explain" if plans else words[1].replace("-", "_")
        yield from launches(("python", f"launch/{program}.py", *more, *words[2:]))
    elif words[0] in ("python", ".venv/bin/python") and words[1].startswith("launch/"):
        program, arguments = words[1].removeprefix("launch/").removesuffix(".py"), list(words[2:])
        if "--" in arguments:
            yield program, arguments[: arguments.index("--")]
            program, arguments = "explain", arguments[arguments.index("--") + 1 :]
        yield program, arguments
    elif words[:2] == ("python", "-m") and words[2].startswith("benchmarks."):
        yield words[2].removeprefix("benchmarks.").replace(".", "/"), list(words[3:])
    elif words[0].startswith("--config"):
        config = [] if words[0].startswith("--config=") else ["--config=configs/table.py"]
        yield "explain", [*config, *words, "--workdir=runs/any"]
    elif words[0] in ("sbatch", "docker", "launch/tpu_vm.sh") and any(w.startswith("--config") for w in words):
        yield "explain", [word.lower() for word in words if re.match("--(config|workdir)", word)]
