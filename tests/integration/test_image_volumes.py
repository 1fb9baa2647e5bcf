"""Image volumes: another image's files below a path of a container."""

import io
import json
import os
import pathlib
import subprocess
import tarfile
import tempfile

import grpc
from cri import BUILD, cri
from cri_case import EXITED, RUNNING
from image_file import import_layout, layout_of
from mount_case import MountCase
from node import wait_until

REFUSED, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
DATA = "localhost/data:1"


def layer(path: pathlib.Path, *entries: tuple[str, bytes, str]) -> pathlib.Path:
    """A tar of (name, type, text or target of a link)."""
    with tarfile.open(path, "w") as archive:
        for name, kind, text in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755 if kind == tarfile.DIRTYPE else 0o640
            if kind == tarfile.REGTYPE:
                info.size = len(text)
            else:
                info.linkname = text
            archive.addfile(info, io.BytesIO(text.encode()) if kind == tarfile.REGTYPE else None)
    return path


def files(**texts: str) -> list[tuple[str, bytes, str]]:
    return [(name.replace("__", "/"), tarfile.REGTYPE, text) for name, text in texts.items()]


class VolumeCase(MountCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.add_image(DATA, [
            ("model", tarfile.DIRTYPE, ""), *files(model__weights="lower", model__gone="x", hidden__below="x", top="top"),
            ("model/same", tarfile.LNKTYPE, "model/weights"), ("model/link", tarfile.SYMTYPE, "weights"),
            ("absolute", tarfile.SYMTYPE, "/volume/top"), ("inner", tarfile.SYMTYPE, "model"),
            ("out", tarfile.SYMTYPE, "../../etc"), ("rooted", tarfile.SYMTYPE, "/model")],
            files(model__weights="upper", **{"model__.wh.gone": ""}, **{"hidden__.wh..wh..opq": ""}, hidden__above="x"))

    @classmethod
    def add_image(cls, name: str, *layers: list) -> None:
        with tempfile.TemporaryDirectory() as made:
            tars = [layer(pathlib.Path(made) / f"{i}.tar", *entries) for i, entries in enumerate(layers)]
            import_layout(cls.directory / "images", layout_of(pathlib.Path(made) / "layout", tars), name)

    def volume_of(self, image: str = DATA, path: str = "/volume", sub_path: str = "", **fields) -> "cri.Mount":
        fields.setdefault("readonly", True)
        return cri.Mount(container_path=path, image=cri.ImageSpec(image=image), image_sub_path=sub_path, **fields)

    def assert_refused(self, code: grpc.StatusCode, message: str, *mounts: "cri.Mount") -> None:
        if not hasattr(self, "pod_id"):
            self.pod_id = self.run_pod()
        self.assert_fails(code, message, self.create, pod=self.pod_id, mounts=list(mounts))
        self.assertEqual(len(self.client.ListContainers().containers), 0)


class ImageVolumes(VolumeCase):
    def test_layers_are_one_tree(self):
        self.run_code("""
v = pathlib.Path("/volume")
assert sorted(os.listdir(v)) == ["absolute", "hidden", "inner", "model", "out", "rooted", "top"], os.listdir(v)
assert sorted(os.listdir(v / "model")) == ["link", "same", "weights"], os.listdir(v / "model")
assert os.listdir(v / "hidden") == ["above"]
assert (v / "model/weights").read_text() == (v / "inner/link").read_text() == "upper"
assert (v / "model/same").read_text() == "lower"
assert (v / "absolute").read_text() == "top" and os.readlink(v / "out") == "../../etc"
assert os.stat(v / "top").st_mode & 0o7777 == 0o640
""", [self.volume_of()])

    def test_read_only(self):
        self.run_code("""
refused(errno.EROFS, lambda: open("/volume/top", "a"), lambda: os.unlink("/volume/top"), lambda: os.mkdir("/volume/d"),
        lambda: open("/volume/new", "w"), lambda: os.rename("/volume/top", "/volume/t"),
        lambda: os.chmod("/volume/model", 0o700), lambda: open("/file", "a"))
""", [self.volume_of(), self.volume_of(path="/file", sub_path="top")])

    def test_hides_the_containers_own_files(self):
        self.run_code("""
assert sorted(os.listdir("/function")) == ["link", "same", "weights"]
""", [self.volume_of(path="/function", sub_path="model")])

    def test_sub_paths(self):
        self.run_code("""
assert sorted(os.listdir("/model")) == ["link", "same", "weights"]
assert sorted(os.listdir("/linked")) == ["link", "same", "weights"]
assert open("/model/link").read() == "upper"
assert open("/file").read() == "upper"
assert open("/through").read() == "upper"
""", [self.volume_of(path="/model", sub_path="model"), self.volume_of(path="/linked", sub_path="./inner/"),
      self.volume_of(path="/file", sub_path="model/weights"),
      self.volume_of(path="/through", sub_path="inner/link")])

    def test_sub_paths_that_leave_are_refused(self):
        for path in ("/model", "..", "model/..", "model/../../x"):
            self.assert_refused(REFUSED, 'mount /volume: the path in the image has to be relative and without ".."',
                                self.volume_of(sub_path=path))
        for path, message in (("out", "leads out of the image"), ("rooted", "leads out of the image"),
                              ("top/x", "no directory")):
            self.assert_refused(REFUSED, f"ImageVolumeMountFailed: mount /volume: {path}: .*{message}",
                                self.volume_of(sub_path=path))

    def test_missing(self):
        self.assert_refused(MISSING, "ImageVolumeMountFailed: mount /volume: .*none", self.volume_of("localhost/none:1"))
        for path in ("none", "model/gone", "hidden/below"):
            self.assert_refused(MISSING, f"mount /volume: {path}: the image has no such file",
                                self.volume_of(sub_path=path))

    def test_refusals(self):
        self.assert_refused(REFUSED, "mount /volume: an image volume has to be read-only", self.volume_of(readonly=False))
        self.assert_refused(REFUSED, "mount /volume: an image volume has no path on the host",
                            self.volume_of(host_path="/tmp"))

    def test_too_much(self):
        self.add_image("localhost/large:1", files(a="x" * (17 << 20)))
        self.add_image("localhost/many:1", [(f"d/{i}", tarfile.SYMTYPE, "x") for i in range(900)])
        self.pod_id = self.run_pod()
        for name, message, *images in (("large", "mounts hold more than 32 MB", "large", "large"),
                                       ("many", "mounts hold more than 896 files", "many")):
            mounts = [self.volume_of(f"localhost/{image}:1", f"/v{i}") for i, image in enumerate(images)]
            container = self.create(self.pod_id, name, mounts=mounts)
            self.assert_fails(REFUSED, f"^container {name}: mount /v[01]: usetl: {message}; mount a part of it, or have "
                               "the function's image hold the files$", self.client.StartContainer,
                              container_id=container)
            self.assertEqual(self.status(container).state, EXITED)

    def test_is_echoed(self):
        identifier = self.client.ImageStatus(image=cri.ImageSpec(image=DATA)).image.id
        for image in (DATA, identifier):
            mount = self.volume_of(image, sub_path="model")
            mount.image.user_specified_image = "data"
            container = self.create(self.run_pod(f"p{len(image)}"), mounts=[mount])
            [echoed] = self.status(container).mounts
            self.assertEqual(echoed.image.image_ref, identifier)
            echoed.image.image_ref = ""
            self.assertEqual(echoed, mount)

    def test_mounts_within(self):
        (self.volume("config") / "key").write_text("value")
        self.run_code("""
assert sorted(os.listdir("/volume")) == ["absolute", "hidden", "inner", "model", "out", "rooted", "top"]
assert os.listdir("/volume/model") == ["key"]
""", [self.mount("config", "/volume/model", readonly=True), self.volume_of()])


class ImagesInUse(VolumeCase):
    def setUp(self):
        super().setUp()
        before = self.packs()
        self.add_image("localhost/used:1", files(file=self.id()))  # a layer of its own
        self.made = self.packs() - before
        self.assertTrue(self.made)
        self.pod_id = self.run_pod()

    def remove_image(self) -> None:
        self.client.RemoveImage(image=cri.ImageSpec(image="localhost/used:1"))
        self.assertFalse(self.client.ImageStatus(image=cri.ImageSpec(image="localhost/used:1")).HasField("image"))

    def read(self) -> str:
        return json.loads(self.post(self.pod_id, {"path": "/volume/file"}))["file"]

    def packs(self) -> set[str]:
        return set(os.listdir(self.directory / "images/packs"))

    def assert_kept(self) -> None:
        subprocess.run([BUILD / "usetl", "image", "gc", "--store", self.directory / "images"], check=True,
                       capture_output=True)
        self.assertLessEqual(self.made, self.packs())

    def test_start_after_the_image_is_removed(self):
        container = self.create(self.pod_id, mounts=[self.volume_of("localhost/used:1")])
        self.remove_image()
        self.assert_kept()
        self.client.StartContainer(container_id=container)
        self.assertEqual(self.read(), self.id())
        self.client.RemoveContainer(container_id=container)
        wait_until(lambda: not self.made & self.packs())

    def test_restart_of_usetld(self):
        running = self.run_container(self.pod_id, "running", mounts=[self.volume_of("localhost/used:1")])
        later = self.create(self.pod_id, "later", command=["python3", "job.py", "0"],
                            mounts=[self.volume_of("localhost/used:1")])
        self.kill()
        self.start()
        self.remove_image()
        self.assert_kept()
        self.assertEqual((self.status(running).state, self.read()), (RUNNING, self.id()))
        self.client.StartContainer(container_id=later)
        self.assertEqual(self.wait_exited(later).exit_code, 0)

    def test_image_that_went_while_no_usetld_was_there(self):
        container = self.create(self.pod_id, mounts=[self.volume_of("localhost/used:1")])
        self.kill()
        subprocess.run([BUILD / "usetl", "image", "rm", "--store", self.directory / "images", "localhost/used:1"],
                       check=True, capture_output=True)
        self.start()
        self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION, "mount /volume: the image was removed",
                          self.client.StartContainer, container_id=container)
