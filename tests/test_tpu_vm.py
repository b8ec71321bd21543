"""launch/tpu_vm.sh against a stand-in for gcloud, which notes its arguments and runs what is sent to a host."""

import json
import os
import subprocess
import sys

import pytest

from tests.launching import ROOT

# Notes its arguments; of `ssh ... --command=TEXT`, runs the text in a folder that stands for a host.
STAND_IN = """\
#!{python}
import json, os, subprocess, sys
with open({log!r}, "a") as log:
    log.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
command = next((text.removeprefix("--command=") for text in sys.argv if text.startswith("--command=")), None)
if "ssh" in sys.argv and command is not None:
    sys.exit(subprocess.run(["bash", "-c", command], cwd={host!r}).returncode)
"""
# What gcloud takes, by what the command begins with: positional arguments, and flags that must and that may be given.
KNOWN = {
    ("compute", "tpus", "queued-resources", "create"):
        (1, {"--node-id", "--zone", "--accelerator-type", "--runtime-version"}, {"--spot"}),
    ("compute", "tpus", "queued-resources", "describe"): (1, {"--zone"}, {"--format"}),
    ("compute", "tpus", "queued-resources", "delete"): (1, {"--zone"}, {"--force", "--quiet"}),
    ("compute", "tpus", "tpu-vm", "scp"): (2, {"--zone"}, {"--worker"}),
    ("compute", "tpus", "tpu-vm", "ssh"): (1, {"--zone", "--command"}, {"--worker"}),
    ("storage", "rsync"): (2, set(), {"--recursive"}),
}  # fmt: skip


@pytest.fixture
def tpu_vm(tmp_path):
    """Runs the script; returns its end and the commands that reached the stand-ins."""
    log, host = tmp_path / "log", tmp_path / "host"
    text = STAND_IN.format(python=sys.executable, log=str(log), host=str(host))
    stand_ins = [tmp_path / "bin" / "gcloud", tmp_path / "bin" / "git", host / "cpi_jax" / ".venv" / "bin" / "python"]
    for path in stand_ins:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(*arguments, **environment):
        environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"} | environment
        command = ["bash", str(ROOT / "launch" / "tpu_vm.sh"), *map(str, arguments)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        said = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        return done, said

    return run


def validate(arguments):
    """Whether gcloud has such a command; its positional arguments and its flags."""
    (begin,) = [known for known in KNOWN if tuple(arguments[: len(known)]) == known]
    number, required, optional = KNOWN[begin]
    rest = arguments[len(begin) :]
    flags = {text.partition("=")[0]: text.partition("=")[2] for text in rest if text.startswith("--")}
    names = [text for text in rest if not text.startswith("--")]
    assert len(names) == number and required <= flags.keys() <= required | optional
    assert all(flags[name] for name in required)
    return names, flags


def test_each_action_says_to_gcloud_what_that_takes(tpu_vm, tmp_path):
    done, ((program, *arguments),) = tpu_vm(
        "create", "mine", "us-west4-a", "v5litepod-16", GO="1", SPOT="1", RUNTIME="v2"
    )
    names, flags = validate(arguments)
    assert done.returncode == 0 and program == "gcloud" and names == ["mine"] and "--spot" in flags
    assert (flags["--node-id"], flags["--zone"], flags["--runtime-version"]) == ("mine", "us-west4-a", "v2")
    assert "--spot" not in validate(tpu_vm("create", "mine", "z", "v5litepod-16", GO="1")[1][0][1:])[1]
    _, ((_, *arguments),) = tpu_vm("state", "mine", "z", GO="1")
    assert validate(arguments) == (["mine"], {"--zone": "z", "--format": "value(state.state)"})
    _, ((_, *arguments),) = tpu_vm("delete", "mine", "z", GO="1")
    assert validate(arguments)[0] == ["mine"]
    _, ((_, *arguments),) = tpu_vm("collect", "gs://b/run", "here/run", GO="1")
    assert validate(arguments)[0] == ["gs://b/run", "here/run"] and (tmp_path / "here" / "run").is_dir()


def test_the_repository_is_copied_to_every_host(tpu_vm):
    done, said = tpu_vm("copy", "mine", "z", GO="1")
    archive, sent, installed = said[:3]
    assert archive[0] == "git" and archive[1] == "archive" and archive[-1] == "HEAD"
    file = archive[3].removeprefix("--output=")
    names, flags = validate(sent[1:])
    assert names == [file, "mine:cpi_jax.tar.gz"] and flags["--worker"] == "all"
    names, flags = validate(installed[1:])
    assert names == ["mine"] and flags["--worker"] == "all"
    subprocess.run(["bash", "-n", "-c", flags["--command"]], check=True)
    for word in ("tar xzf cpi_jax.tar.gz -C cpi_jax", "pip install -q -c constraints/$(python3 -c", '-e ".[tpu]"'):
        assert word in flags["--command"]
    assert done.returncode != 0  # the made-up host has no archive to unpack, and that is not passed over


def test_a_study_reaches_the_hosts_with_its_arguments_whole(tpu_vm):
    study = [
        "--config=configs/shapes.py",
        "--workdir=gs://b/my run",
        "--config.concepts=('red circle',)",
        "--config.empty=it's $HOME",
    ]
    done, (sent, started) = tpu_vm("run", "mine", "z", *study, GO="1")
    assert done.returncode == 0 and validate(sent[1:])[1]["--worker"] == "all"
    assert started == ["python", "launch/explain.py", *study]


def test_nothing_is_run_unless_asked(tpu_vm):
    for action in (["create", "mine", "z", "v5litepod-16"], ["copy", "mine", "z"], ["collect", "gs://b/run", "here"]):
        done, said = tpu_vm(*action)
        assert done.returncode == 0 and not said and ("gcloud" in done.stdout)


def test_what_cannot_be_is_refused(tpu_vm):
    done, said = tpu_vm("run", "mine", "z", "--config=configs/shapes.py", "--workdir=runs/x", GO="1")
    assert (
        done.returncode == 1
        and not said
        and done.stderr == "error: a slice's hosts share no disk: give --workdir=gs://...\n"
    )
    for wrong in ([], ["create", "mine", "z"], ["fly", "mine", "z"]):
        done, said = tpu_vm(*wrong, GO="1")
        assert done.returncode == 2 and not said and "launch/tpu_vm.sh create  NAME ZONE" in done.stdout
