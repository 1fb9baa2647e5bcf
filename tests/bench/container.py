"""A minimal bundle for runc: the root file system of the runtime and one script, no network, no capabilities."""

import json
import pathlib
import shutil

from environment import BUILD


def make_bundle(bundle: pathlib.Path, script: pathlib.Path) -> pathlib.Path:
    (bundle / "function").mkdir(parents=True)
    shutil.copy(script, bundle / "function" / "f.py")
    config = {
        "ociVersion": "1.0.2",
        "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "cwd": "/",
                    "args": ["/usr/bin/python3.11", "/function/f.py"],
                    "env": ["PATH=/usr/bin:/bin", "LANG=C.UTF-8"]},
        "root": {"path": str(BUILD / "rootfs"), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "mode=755", "size=64k"]},
            {"destination": "/function", "type": "bind", "source": str(bundle / "function"),
             "options": ["bind", "ro"]},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]},
    }
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle
