"""`usetl image` on stores of their own, against registries that do as they are told: what its tests share."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from node import BUILD
from registry import FakeRegistry

NOT_FOUND, UNAUTHORISED, UNAVAILABLE, INVALID, NO_SPACE = 3, 4, 5, 6, 7
ENVIRONMENT = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}


def command(*words) -> str:
    return subprocess.run(list(map(str, words)), env=ENVIRONMENT, check=True, capture_output=True, text=True,
                          timeout=60).stdout


def skopeo(*words) -> None:
    command("skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false",
            "--dest-tls-verify=false", *words)


class Store:
    """`usetl image` on a store of its own."""

    def __init__(self, test: unittest.TestCase, directory=None):
        self.test = test
        self.path = pathlib.Path(directory or tempfile.mkdtemp(prefix="usetl-images-"))
        test.addCleanup(shutil.rmtree, self.path, ignore_errors=True)

    def start(self, *words, **options) -> subprocess.Popen:
        return subprocess.Popen([str(BUILD / "usetl"), "image", *map(str, words), "--store", str(self.path)],
                                env=ENVIRONMENT, stdin=options.pop("stdin", subprocess.DEVNULL),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words, stdin: str = "", status: int = 0) -> str:
        process = self.start(*words, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=60)
        self.test.assertEqual(process.returncode, status, out + err)
        return out if status == 0 else err

    def pull(self, *words, **options) -> str:
        return self.run("pull", *words, "--retries", "2", **options).strip()

    def images(self, *names) -> list:
        return json.loads(self.run("ls", "--json", *names))

    def files(self, folder: str) -> set:
        return {path.name for path in (self.path / folder).iterdir()}


class RegistryCase(unittest.TestCase):
    def serve(self, image, answer=lambda handler, kind, name: False, **options):
        server = FakeRegistry(image, answer, **options)
        self.addCleanup(server.close)
        return server, f"{server.host}/a/b:1"

    def refused(self, image, *words, answer=lambda *_: False, status=INVALID) -> str:
        _, name = self.serve(image, answer)
        store = Store(self)
        said = store.pull(name, *words, status=status)
        self.assertEqual((store.images(), store.files("packs"), store.files("leases")), ([], set(), set()))
        return said
