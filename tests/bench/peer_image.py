"""Images for containerd: a pause for its sandboxes, and the same function behind uvicorn."""

import pathlib
import re
import subprocess

from environment import BUILD, PYTHON

# Debian's uvicorn with what it needs; and the faster loop and parser that its documentation recommends.
PACKAGES = ("python3-uvicorn", "python3-h11", "python3-click", "python3-asgiref", "python3-wsproto",
            "python3-uvloop", "libuv1", "python3-httptools", "libhttp-parser2.9")
_WANTED = re.compile(r"/usr/lib/(python3/dist-packages/|x86_64-linux-gnu/lib[^/]+\.so)")
_COMMAND = ("/usr/bin/python3.11", "-m", "uvicorn", "app:app", "--host", "0.0.0.0", "--no-access-log",
            "--log-level", "warning")
_PLAIN = ("--loop", "asyncio", "--http", "h11")  # what uvicorn takes when it is installed alone
_FAST = ("--loop", "uvloop", "--http", "httptools")

_PAUSE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"

# As small as ASGI allows: no framework between server and handler.
_APP = """import json

from main import handler


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = json.dumps(handler(json.loads(body), None)).encode()
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})
"""


def command(port: int, fast: bool = False) -> list[str]:
    """Serves the function; `fast`: with uvloop and httptools."""
    return [*_COMMAND, *(_FAST if fast else _PLAIN), "--port", str(port)]


def missing_packages() -> list[str]:
    """Those of PACKAGES that are not installed."""
    def installed(package: str) -> bool:
        state = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True,
                               text=True, check=False)
        return state.stdout == "installed"

    return [package for package in PACKAGES if not installed(package)]


def _pack(directory: pathlib.Path, name: str, layers: list[pathlib.Path], *config: str) -> pathlib.Path:
    """An archive of an OCI layout, whose image has a layer of each directory."""
    layout, image = directory / name, f"{directory / name}:1"
    commands = [["umoci", "init", "--layout", layout], ["umoci", "new", "--image", image]]
    for number, root in enumerate(layers):
        layer = directory / f"{name}-{number}.tar"
        commands += [["tar", "--owner=0", "--group=0", "-C", root, "-cf", layer, "."],
                     ["umoci", "raw", "add-layer", "--image", image, layer]]
    archive = directory / f"{name}.tar"
    commands += [["umoci", "config", "--image", image, *config], ["tar", "-C", layout, "-cf", archive, "."]]
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)
    return archive


def make_pause(directory: pathlib.Path) -> pathlib.Path:
    root = directory / "pause-root"
    root.mkdir()
    subprocess.run(["gcc", "-static", "-O2", "-s", "-x", "c", "-o", root / "pause", "-"], input=_PAUSE, text=True,
                   check=True, capture_output=True)
    return _pack(directory, "pause", [root], "--config.entrypoint", "/pause")


def make_function(directory: pathlib.Path, function: str) -> pathlib.Path:
    """The root file system that the runtime is baked from, uvicorn, and `function` as main.py; all of it compiled."""
    root = directory / "function-root"
    (root / "function").mkdir(parents=True)
    (root / "function/main.py").write_text(function)
    (root / "function/app.py").write_text(_APP)
    listed = subprocess.run(["dpkg", "-L", *PACKAGES], capture_output=True, text=True, check=True).stdout
    files = [line[1:] for line in sorted(set(listed.splitlines()))
             if _WANTED.match(line) and pathlib.Path(line).is_file()]
    subprocess.run(["cp", "-a", "--parents", "-t", root, *files], cwd="/", check=True)
    subprocess.run([PYTHON, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", root, "-p", "/",
                    root / "usr/lib/python3", root / "function"], check=True)
    return _pack(directory, "uvicorn", [BUILD / "rootfs", root], "--config.workingdir", "/function",
                 "--config.env", "PATH=/usr/bin:/bin", "--config.env", "LANG=C.UTF-8")
