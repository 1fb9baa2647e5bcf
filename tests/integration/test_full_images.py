"""Images that bring a Python of their own: baked on the node, run through the CRI."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import grpc
from cri import BUILD, container_config, cri
from cri_case import CriCase
from image_file import layout_of, write_layer
from node import wait_until

SITE = "opt/venv/lib/python3.11/site-packages"
VENV = {"opt/venv/pyvenv.cfg": "home = /usr/bin\nversion = 3.11\n",
        f"{SITE}/purepkg/__init__.py": "VALUE = 'pure'\n",
        "usr/bin/.wh.vi": ""}
MAIN = """
import os, sys
import purepkg
def handler(event, context):
    return {"prefix": sys.prefix, "program": sys.executable, "pure": purepkg.VALUE, "variable": os.environ["OF"],
            "vi": os.path.lexists("/usr/bin/vi"), "cat": os.path.exists("/usr/bin/cat"), "mounted": read("/mnt/a")}
def read(path):
    return open(path).read() if os.path.exists(path) else None
"""
# Lines of a .pth file, which Python executes when it starts.
SLOW = "import time; time.sleep(8)\n"
BROKEN = "import os, sys; sys.stderr.write('no good'); sys.stderr.flush(); os._exit(3)\n"


class FullImages(CriCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = pathlib.Path(tempfile.mkdtemp(prefix="usetl-full-", dir="/dev/shm"))
        cls.addClassCleanup(shutil.rmtree, made)
        subprocess.run(["tar", "-C", BUILD / "rootfs", "-cf", made / "base.tar", "."], check=True)
        write_layer(made / "venv.tar", VENV, {"opt/venv/bin/python3": "/usr/bin/python3.11"})
        for name, start in (("full", ""), ("slow", SLOW), ("broken", BROKEN), ("removed", "#\n")):
            write_layer(made / "app.tar", {"app/main.py": MAIN, f"{SITE}/start.pth": start})
            layout = layout_of(made / name, [made / "base.tar", made / "venv.tar", made / "app.tar"],
                               "--config.env", "PATH=/opt/venv/bin:/usr/bin", "--config.env", "OF=image",
                               "--config.workingdir", "/app", "--config.cmd", "python3")
            cls.usetl_image("import", layout, "--name", f"localhost/{name}:1")

    @classmethod
    def usetl_image(cls, *words) -> None:
        subprocess.run([BUILD / "usetl", "image", *map(str, words), "--store", cls.directory / "images"], check=True,
                       capture_output=True)

    def create(self, pod: str, name: str = "function", image: str = "full", seconds: float = 60, **fields) -> str:
        config = container_config(name, f"localhost/{image}:1", **fields)
        return self.client.CreateContainer(seconds, pod_sandbox_id=pod, config=config,
                                           sandbox_config=self.pod).container_id

    def runtimes(self) -> set[str]:
        return set(os.listdir(self.directory / "images/runtimes"))

    def image_id(self, name: str) -> str:
        return self.client.ImageStatus(image=cri.ImageSpec(image=f"localhost/{name}:1")).image.id

    def runtime_of(self, name: str) -> str:
        return "image-" + self.image_id(name).removeprefix("sha256:")[:32]

    def test_runs_its_own_python(self):
        (self.directory / "mounted").mkdir(exist_ok=True)
        (self.directory / "mounted/a").write_text("from the host")
        pod = self.run_pod()
        container = self.run_container(pod, mounts=[cri.Mount(container_path="/mnt", readonly=True,
                                                              host_path=str(self.directory / "mounted"))])
        answer = {"prefix": "/opt/venv", "program": "/opt/venv/bin/python3", "pure": "pure", "variable": "image",
                  "vi": False, "cat": True, "mounted": "from the host"}
        self.assertEqual(json.loads(self.post(pod, {})), answer)
        done = self.client.ExecSync(container_id=container, timeout=60,
                                    cmd=["python3", "-c", "import sys, purepkg; print(sys.prefix, purepkg.VALUE)"])
        self.assertEqual((done.stdout, done.exit_code), (b"/opt/venv pure\n", 0), done.stderr)
        # A usetld that comes up anew finds the runtime, and the pod goes on.
        made = (self.directory / "images/runtimes" / self.runtime_of("full") / "snapshot").stat()
        self.kill()
        self.start()
        self.assertEqual(json.loads(self.post(pod, {})), answer)
        second = self.run_pod("second")
        self.run_container(second)
        self.assertEqual(json.loads(self.post(second, {})), answer | {"mounted": None})
        again = (self.directory / "images/runtimes" / self.runtime_of("full") / "snapshot").stat()
        self.assertEqual(again.st_ino, made.st_ino)
        # Thin images beside it run in the node's own.
        third = self.run_pod("third")
        self.client.StartContainer(container_id=CriCase.create(self, third))
        self.assertIn("hello", self.post(third, {"name": "you"}))

    def test_script(self):
        pod = self.run_pod()
        container = self.create(pod, command=["python3", "/opt/venv/lib/python3.11/site-packages/purepkg/__init__.py"])
        self.client.StartContainer(container_id=container)
        self.assertEqual(self.wait_exited(container).exit_code, 0)

    def test_preparing(self):
        pod = self.run_pod()
        self.assert_fails(grpc.StatusCode.UNAVAILABLE, "^preparing image localhost/slow:1: ", self.client.CreateContainer,
                          seconds=4, pod_sandbox_id=pod, config=container_config("function", "localhost/slow:1"),
                          sandbox_config=self.pod)
        self.create(pod, image="slow")

    def test_failed_bake(self):
        pod = self.run_pod()
        for _ in range(2):
            self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION,
                              "^usetl: the image localhost/broken:1 cannot be run: .*it said last: no good$", self.create,
                              pod=pod, image="broken")
        self.assertNotIn(self.runtime_of("broken"), self.runtimes())

    def test_removal(self):
        def used() -> int:
            return self.client.ImageFsInfo().image_filesystems[0].used_bytes.value

        before = used()
        pod = self.run_pod()
        container = self.create(pod, image="removed")
        runtime = self.runtime_of("removed")
        self.assertIn(runtime, self.runtimes())
        self.assertGreater(used(), before)
        self.assertLess(used(), before + (50 << 20))  # the snapshot: layers are not there twice
        self.client.StartContainer(container_id=container)
        unfinished = "image-" + "0" * 32 + ".new"  # by a process that was killed
        (self.directory / "images/runtimes" / unfinished).mkdir()
        self.client.RemoveImage(image=cri.ImageSpec(image="localhost/removed:1"))
        self.assertNotIn(unfinished, self.runtimes())
        self.assertEqual(json.loads(self.post(pod, {}))["pure"], "pure")
        self.assertIn(runtime, self.runtimes())
        self.assertIn(runtime, self.node.usetl("inspect").stdout)
        self.client.RemovePodSandbox(pod_sandbox_id=pod)
        self.assertNotIn(runtime, self.runtimes())
        wait_until(lambda: runtime not in self.node.usetl("inspect").stdout)  # USFs and all
        self.assertLessEqual(used(), before)

    def test_nobody_names_the_runtime_of_an_image(self):
        pod = self.run_pod(annotations={"usetl.dev/runtime": self.runtime_of("full")})
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "cannot name an image's runtime", self.create, pod=pod)
