"""Builds the Go tests of this folder and runs them against a node on a bridge; prints one line when all is well.

Exit status 77, "skipped", where there is no Go or its modules cannot be had; with CI in the environment that fails."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import typing

from image_file import make_layout
from node import BUILD, Node, in_network_namespace
from registry import RealRegistry

FOLDER = pathlib.Path(__file__).parent
OLDEST = (1, 25)
SKIPPED = 77
REGISTRY_PORT = 5003
SUBNET, GATEWAY = "10.78.0.0/24", "10.78.0.1"
# What is made here answers from this network namespace: no proxy of the machine helps.
ENVIRONMENT = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}

MAIN = """
import os
def handler(event, context):
    print("called", flush=True)
    return "hello from " + os.environ["MODE"]
"""
JOB = """
import sys
print("hello World")
print("an error", file=sys.stderr)
if sys.argv[1] == "fill":
    kept = [bytearray(b"x" * (1 << 20)) for _ in range(1024)]
for path in sys.argv[2:]:
    open(path, "w").close()
sys.exit(int(sys.argv[1]))
"""
# By name: what tells an image from others, its tags, options of `umoci config`.
IMAGES = (
    ("function", ["1"], ["--config.env", "MODE=image"]),
    ("one", ["tag", "latest"], []),
    ("two", ["tag"], []),
    ("three", ["tag"], []),
    ("same", ["1", "2", "3"], []),
    ("uid", ["1"], ["--config.user", "1002"]),
    ("username", ["1"], ["--config.user", "www-data"]),
)


def skip(why: str) -> typing.NoReturn:
    in_ci = "CI" in os.environ
    print(f"conformance: {why}" if in_ci else f"conformance: skipped: {why}")
    sys.exit(1 if in_ci else SKIPPED)


def find_go() -> str:
    """The first one that is new enough: a distribution's old one may come before it."""
    for folder in [*os.get_exec_path(), "/usr/local/go/bin"]:
        go = shutil.which("go", path=folder)
        if go is None:
            continue
        said = subprocess.run([go, "version"], env={**os.environ, "GOTOOLCHAIN": "local"}, capture_output=True,
                              text=True, check=True).stdout
        version = re.search(r"go(\d+)\.(\d+)", said)
        if version is not None and tuple(map(int, version.groups())) >= OLDEST:
            return go
    skip(f"there is no Go {OLDEST[0]}.{OLDEST[1]} or newer")


def build(go: str) -> pathlib.Path:
    """The tests' program. What Go downloads lies in its own cache."""
    program = BUILD / "conformance.test"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    listed = subprocess.run([go, "list", "-deps", "-test", "."], cwd=FOLDER, env=environment, capture_output=True,
                            text=True, check=False)
    if listed.returncode != 0:
        skip("Go's modules cannot be had: " + listed.stderr.strip().splitlines()[-1])
    subprocess.run([go, "vet", "."], cwd=FOLDER, env=environment, check=True)
    subprocess.run([go, "test", "-c", "-o", program, "."], cwd=FOLDER, env=environment, check=True)
    return program


def push_images(directory: pathlib.Path, host: str) -> None:
    for name, tags, config in IMAGES:
        made = directory / name
        made.mkdir()
        files = {"function/main.py": MAIN, "function/job.py": JOB, "function/name": name}
        layout = make_layout(made, files, "--config.workingdir", "/function", *config)
        for tag in tags:
            subprocess.run(["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false",
                            f"oci:{layout}:v1", f"docker://{host}/conformance/{name}:{tag}"], env=ENVIRONMENT, check=True)


def write_network(directory: pathlib.Path) -> pathlib.Path:
    bridge = {"type": "bridge", "bridge": "usetl0", "isGateway": True,
              "ipam": {"type": "host-local", "subnet": SUBNET, "dataDir": f"{directory}/leases"}}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    folder = directory / "cni"
    folder.mkdir()
    (folder / "10-net.conflist").write_text(json.dumps(
        {"cniVersion": "1.0.0", "name": "conformance", "plugins": [bridge, portmap]}))
    return folder


def run_tests(program: pathlib.Path, directory: pathlib.Path, host: str) -> int:
    node = Node("--cri", "--cgroup-driver", "cgroupfs", "--cni-conf", str(write_network(directory)), pool=4)
    try:
        environment = {**ENVIRONMENT, "USETL_ENDPOINT": f"unix://{node.directory}/usetl.sock",
                       "USETL_DIRECTORY": str(directory), "USETL_REGISTRY": host, "USETL_GATEWAY": GATEWAY}
        done = subprocess.run([program, "-test.timeout", "400s", "-test.v"], cwd=directory, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        passed = len(re.findall(r"(?m)^--- PASS: ", done.stdout))
        if done.returncode == 0:
            print(f"conformance: {passed} flows are as the kubelet's client wants them")
        else:
            print(re.sub(r"(?m)^(=== (RUN|CONT|PAUSE) |\s*--- PASS: |PASS$).*\n", "", done.stdout), end="")
        return done.returncode
    finally:
        node.close()


def main() -> int:
    program = build(find_go())
    in_network_namespace()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="usetl-conformance-"))
    try:
        registry = RealRegistry(directory / "registry", REGISTRY_PORT)
        try:
            push_images(directory, registry.host)
            return run_tests(program, directory, registry.host)
        finally:
            registry.close()
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
