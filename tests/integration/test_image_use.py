"""What a container has of its image: the user that it names, and its files for as long as it is used."""

import os
import pathlib
import tarfile
import tempfile

import grpc
from cri import container_config, cri
from cri_case import CriCase
from image_file import add_image
from node import wait_until
from registry import FakeImage, FakeRegistry, digest, tar

WRITE = "import pathlib\npathlib.Path('/data/made').write_text('x')\n"
FILES = {
    "function/write.py": WRITE,
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\nbroken:x:\nhuge:x:99999999999:1::/:\napp:x:1234:77:App:/app:/bin/sh\n",
    "etc/group": "root:x:0:\nbroken\ndisk:x:2000:other,app\ntape:x:2001:apple\nstaff:x:50:\n",
}


class UseCase(CriCase):
    def add_image(self, name: str, files: dict[str, str], *config: str) -> None:
        add_image(self.directory / "images", name, files, "--config.workingdir", "/function", *config)

    def create_of(self, pod: str, image: str, **fields) -> str:
        config = container_config("use", image, **fields)
        return self.client.CreateContainer(pod_sandbox_id=pod, config=config, sandbox_config=self.pod).container_id


class Users(UseCase):
    def written_by(self, user: str, **security) -> tuple[int, int]:
        """Owner of a file that the container makes in a directory of group 2000, which only that may write."""
        self.add_image("localhost/user:1", FILES, "--config.user", user)
        with tempfile.TemporaryDirectory(prefix="usetl-volume-") as volume:
            os.chown(volume, 0, 2000)
            os.chmod(volume, 0o775)
            context = cri.LinuxContainerSecurityContext(**security)
            pod = self.run_pod()
            container = self.create_of(pod, "localhost/user:1", command=["python3", "write.py"],
                                       mounts=[cri.Mount(container_path="/data", host_path=volume)],
                                       linux=cri.LinuxContainerConfig(security_context=context))
            self.client.StartContainer(container_id=container)
            self.assertEqual(self.wait_exited(container).exit_code, 0)
            made = (pathlib.Path(volume) / "made").stat()
            self.client.RemovePodSandbox(pod_sandbox_id=pod)
        return made.st_uid, made.st_gid

    def test_of_the_image(self):
        self.assertEqual(self.written_by("app"), (1234, 77))  # disk is among its groups
        self.assertEqual(self.written_by("app:disk"), (1234, 2000))
        self.assertEqual(self.written_by("app:2000"), (1234, 2000))
        self.assertEqual(self.written_by("5:disk"), (5, 2000))
        self.assertEqual(self.written_by("root"), (0, 0))

    def test_of_the_pod(self):
        self.assertEqual(self.written_by("missing", run_as_username="app"), (1234, 77))
        self.assertEqual(self.written_by("missing", run_as_user=cri.Int64Value(value=9), supplemental_groups=[2000]),
                         (9, 0))

    def test_that_the_image_does_not_have(self):
        pod = self.run_pod()
        mounts = [cri.Mount(container_path="/data", host_path="/tmp")]  # where it matters who writes
        for user, kind, name in (("nobody", "user", "nobody"), ("app:wheel", "group", "wheel"), ("huge", "user", "huge"),
                                 ("broken", "user", "broken"), ("../x", "user", "../x")):
            with self.subTest(user):
                self.add_image("localhost/user:1", FILES, "--config.user", user)
                self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT,
                                  f'^usetl: the image.s /etc/(passwd|group) has no {kind} "{name}": use ',
                                  self.create_of, pod=pod, image="localhost/user:1", mounts=mounts)
        self.add_image("localhost/user:1", {"function/write.py": WRITE}, "--config.user", "app")
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, 'passwd has no user "app"', self.create_of, pod=pod,
                          image="localhost/user:1", mounts=mounts)
        self.create_of(pod, "localhost/user:1")


class Removal(UseCase):
    def packs(self) -> set[str]:
        return {path.name for path in (self.directory / "images/packs").iterdir()}

    def test_files_stay_as_long_as_a_container_uses_them(self):
        before = self.packs()
        self.add_image("localhost/gone:1", {"function/main.py": "def handler(event, context):\n    return 'there'\n"})
        pod = self.run_pod()
        container = self.create_of(pod, "localhost/gone:1")
        self.client.RemoveImage(image=cri.ImageSpec(image="localhost/gone:1"))
        self.assertFalse(self.client.ImageStatus(image=cri.ImageSpec(image="localhost/gone:1")).HasField("image"))
        self.assertGreater(self.packs(), before)
        self.client.StartContainer(container_id=container)
        self.assertEqual(self.call(pod), "there")
        self.client.RemoveContainer(container_id=container)
        wait_until(lambda: self.packs() == before)

    def test_what_was_left_goes_at_the_next_start(self):
        self.kill()
        left = self.directory / "images/packs" / f"{'0' * 64}.pack"
        left.write_bytes(b"of nobody")
        self.start()
        wait_until(lambda: not left.exists())


class Pulls(UseCase):
    """What `usetl image` is tested with in test_image_lies, as clients of the CRI see it."""

    def refused(self, image: FakeImage, message: str, code=grpc.StatusCode.INVALID_ARGUMENT) -> None:
        server = FakeRegistry(image)
        self.addCleanup(server.close)
        before = self.client.ListImages().images
        self.assert_fails(code, message, self.client.PullImage, image=cri.ImageSpec(image=f"{server.host}/a/b:1"))
        self.assertEqual(self.client.ListImages().images, before)
        self.assertEqual(list((self.directory / "images/leases").iterdir()), [])

    def test_lies(self):
        image = FakeImage(tar(("a", b"x")))
        image.blobs[image.layers[0]] = image.blobs[image.layers[0]][:-1] + b"?"
        self.refused(image, "sha256")
        self.refused(FakeImage(tar(("a", b"x")), diff_ids=[digest(b"")]), "config says")

    def test_layers_that_reach_outside(self):
        self.refused(FakeImage(tar(("../../etc/passwd", b"x"))), r"\.\.")
        self.refused(FakeImage(tar(("a", tarfile.LNKTYPE, "/etc/passwd"))), "hard link")
        self.refused(FakeImage(tar(("link", tarfile.SYMTYPE, "/tmp"), ("link/file", b"x"))), "link")

    def test_nothing_there(self):
        server = FakeRegistry(FakeImage(), lambda handler, *_: handler.reply(404, b"{}") or True)
        self.addCleanup(server.close)
        self.assert_fails(grpc.StatusCode.NOT_FOUND, server.host, self.client.PullImage,
                          image=cri.ImageSpec(image=f"{server.host}/a/b:1"))
        for name in ("", "team/UPPER", "a b", "x@sha256:12", "../x"):
            with self.subTest(name):
                self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "image name", self.client.PullImage,
                                  image=cri.ImageSpec(image=name))
