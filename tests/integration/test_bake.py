"""usetl bake: what a runtime can be made of; each kind runs a function."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

from image_file import layout_of, write_layer
from node import BUILD

MAIN = "import purepkg, sys; print(purepkg.VALUE, sys.prefix)\n"
SITE = "opt/venv/lib/python3.11/site-packages"
VENV = {"opt/venv/pyvenv.cfg": "home = /usr/bin\nversion = 3.11\n", f"{SITE}/purepkg/__init__.py": "VALUE = 'pure'\n"}


class Bake(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="usetl-bake-", dir="/dev/shm"))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.base = cls.directory / "base.tar"
        subprocess.run(["tar", "-C", BUILD / "rootfs", "-cf", cls.base, "."], check=True)
        write_layer(cls.directory / "venv.tar", VENV, {"opt/venv/bin/python3": "/usr/bin/python3.11"})
        cls.layout = layout_of(cls.directory / "layout", [cls.base, cls.directory / "venv.tar"],
                               "--config.env", "PATH=/opt/venv/bin:/usr/bin")
        (cls.directory / "main.py").write_text(MAIN)

    def bake(self, source, *options) -> subprocess.CompletedProcess:
        return subprocess.run(
            [BUILD / "usetl", "bake", source, "--runtimes", self.directory / "runtimes", "--runtime", "made", *options],
            capture_output=True, text=True)

    def prints(self, source, *options) -> str:
        shutil.rmtree(self.directory / "runtimes", ignore_errors=True)
        done = self.bake(source, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^runtime made: \d+ ms ")
        self.assertEqual([path.name for path in (self.directory / "runtimes").iterdir()], ["made"])
        done = subprocess.run([BUILD / "usetl", "run", self.directory / "main.py", "--runtime", "made",
                               "--runtimes", self.directory / "runtimes"], capture_output=True, text=True)
        return done.stdout + done.stderr

    def test_layout(self):
        self.assertEqual(self.prints(self.layout), "pure /opt/venv\n")

    def test_image_archives(self):
        for kind in ("oci-archive", "docker-archive"):
            with self.subTest(kind):
                archive = self.directory / f"{kind}.tar"
                subprocess.run(["skopeo", "copy", "-q", f"oci:{self.layout}:v1", f"{kind}:{archive}"], check=True)
                self.assertEqual(self.prints(archive), "pure /opt/venv\n")

    def test_image_of_a_store(self):
        store = self.directory / "images"
        subprocess.run([BUILD / "usetl", "image", "import", self.layout, "--name", "localhost/full:1", "--store", store],
                       check=True, capture_output=True)
        self.assertEqual(self.prints("localhost/full:1", "--images", store), "pure /opt/venv\n")
        # What it was made of may go.
        subprocess.run([BUILD / "usetl", "image", "rm", "localhost/full:1", "--store", store], check=True,
                       capture_output=True)
        done = self.bake("localhost/full:1", "--images", store)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (3, 1))
        self.assertRegex(done.stderr, "^usetl: no image localhost/full:1, and no file is called so; usetl image ls ")

    def test_root_archive_has_the_packages_of_the_function_missing(self):
        self.assertIn("No module named 'purepkg'", self.prints(self.base))

    def test_layout_without_an_image(self):
        layout = self.directory / "none"
        layout.mkdir()
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (layout / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')
        done = self.bake(layout)
        self.assertEqual((done.returncode, done.stderr), (3, f"usetl: import {layout}: holds no image for linux/amd64\n"))
        done = self.bake(self.directory / "absent")
        self.assertEqual((done.returncode, done.stderr), (1, f"usetl: {self.directory}/absent: No such file or directory\n"))

    def test_image_without_python(self):
        layout = layout_of(self.directory / "empty", [self.directory / "venv.tar"])
        done = self.bake(layout)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, "(?m)^usetl: the image has no python3 on its PATH$")
        self.assertEqual(list((self.directory / "runtimes").glob("made*.new")), [])

    def test_two_at_once(self):
        # One of a root file system takes longer than the others wait: it is made once, and stays whole.
        command = [BUILD / "usetl", "bake", "--runtimes", self.directory / "runtimes", "--runtime", "made"]
        both = [subprocess.Popen([*command, source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for source in (self.base, self.layout, self.base, self.layout)]
        ends = [(process.communicate(), process.returncode) for process in both]
        self.assertIn(0, [status for _, status in ends])
        for (_, error), status in ends:
            self.assertIn(status, (0, 1))
            if status:
                self.assertRegex(error, r"(?m)^usetl: runtime made(\.images)? is being made by another process; wait for it$")
        self.assertEqual([path.name for path in (self.directory / "runtimes").iterdir()], ["made"])

    def test_what_a_killed_one_left(self):
        left = self.directory / "runtimes/made.new"
        left.mkdir(parents=True, exist_ok=True)
        (left / "layer-0.pack").write_text("half")
        done = self.bake(self.base)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(left.exists())

    def test_names(self):
        (self.directory / "runtimes/other.new").mkdir(parents=True, exist_ok=True)
        for name in ("", ".", "..", "../made", "a/b", "other.new", "-x", ".x", "a b", "x" * 201):
            with self.subTest(name):
                done = subprocess.run([BUILD / "usetl", "bake", self.base, "--runtimes", self.directory / "runtimes",
                                       f"--runtime={name}"], capture_output=True, text=True)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr, '(?m)^usetl: (".*" is no name for a runtime: |--runtime: )')
        self.assertTrue((self.directory / "runtimes/other.new").exists())
        (self.directory / "runtimes/other.new").rmdir()

    def test_what_is_no_runtime_stays(self):
        for place in ("made", "made.new"):
            kept = self.directory / "kept"
            kept.mkdir(exist_ok=True)
            (kept / "file").write_text("x")
            shutil.rmtree(self.directory / "runtimes", ignore_errors=True)
            (self.directory / "runtimes").mkdir()
            (self.directory / "runtimes" / place).symlink_to(kept)
            done = self.bake(self.base)
            self.assertEqual(done.returncode, 1)
            self.assertEqual((kept / "file").read_text(), "x")
            (self.directory / "runtimes" / place).unlink()

    def test_broken_archives(self):
        for name, content in (("not-a-tar", b"text" * 1000), ("short.tar", self.base.read_bytes()[:5000])):
            with self.subTest(name):
                (self.directory / name).write_bytes(content)
                done = self.bake(self.directory / name)
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, rf"(?m)^usetl: .*{name}|layer archive")
