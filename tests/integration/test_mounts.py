"""Mounts of a container: what a function changes below them, and what it may not."""

import json
import os
import shutil
import stat
import subprocess

import grpc
from cri import cri
from cri_case import EXITED
from mount_case import MountCase
from node import wait_until

class TerminationMessage(MountCase):
    def message(self, code: str, text: str = "", mode: int = 0o666, **context) -> str:
        path = self.host / "message"
        path.write_text(text)
        path.chmod(mode)
        self.run_code(code, [self.mount("message", "/dev/termination-log")], **context)
        return path.read_text()

    def test_is_on_the_host(self):
        self.assertEqual(self.message("open('/dev/termination-log', 'w').write('why it ended')"), "why it ended")

    def test_is_written_before_the_end(self):
        code = "fd = os.open('/dev/termination-log', os.O_WRONLY); os.write(fd, b'last'); os.write(fd, b' words')"
        self.assertEqual(self.message(code + "; os._exit(0)"), "last words")

    def test_replaces_and_appends(self):
        self.assertEqual(self.message("open('/dev/termination-log', 'w').write('new')", text="what was there"), "new")

    def test_appends(self):
        self.assertEqual(self.message("open('/dev/termination-log', 'a').write(' more')", text="first"), "first more")

    def test_of_a_user_who_may_not_write(self):
        code = "refused(errno.EROFS, lambda: open('/dev/termination-log', 'w'))"
        self.assertEqual(self.message(code, text="kept", mode=0o644, run_as_user=cri.Int64Value(value=1000)), "kept")

    def test_is_echoed(self):
        (self.host / "message").touch()
        mount = self.mount("message", "/dev/termination-log")
        self.assertIn(mount, self.run_code("pass", [mount]).mounts)


class TwoOnOnePath(MountCase):
    def test_the_later_one_counts(self):
        for name in ("first", "second"):
            (self.host / name).write_text(f"127.0.0.1 {name}\n")
            self.volume(f"{name}-volume")
            (self.host / f"{name}-volume" / name).write_text(name)
        self.run_code("""
assert open("/etc/hosts").read() == "127.0.0.1 second\\n"
refused(errno.EROFS, lambda: open("/etc/hosts", "w"))
assert os.listdir("/data") == os.listdir("/mixed") == ["second"]
open("/data/made", "w").write("here")
assert sorted(os.listdir("/mixed")) == ["made", "second"]
assert open("/other").read() == "127.0.0.1 second\\n"
""", [self.mount("first", "/etc/hosts"), self.mount("second", "/etc/hosts", readonly=True),
      self.mount("first-volume", "/data", readonly=True), self.mount("second-volume", "/data/"),
      self.mount("first", "/mixed"), self.mount("second-volume", "/mixed", readonly=True),
      self.mount("first-volume", "/other"), self.mount("second", "/other")])
        self.assertEqual(sorted(os.listdir(self.host / "second-volume")), ["made", "second"])
        self.assertEqual(os.listdir(self.host / "first-volume"), ["first"])

    def test_what_is_hidden_is_not_followed(self):
        for name in ("hidden", "shown"):
            for version in ("..1", "..2"):
                (self.volume(name) if version == "..1" else self.host / name).joinpath(version).mkdir()
                (self.host / name / version / name).write_text(version)
            (self.host / name / "..data").symlink_to("..1")
            (self.host / name / name).symlink_to(f"..data/{name}")
        self.pod_id = self.run_pod()
        self.run_container(self.pod_id, mounts=[self.mount("hidden", "/config", readonly=True),
                                                self.mount("shown", "/config", readonly=True)])
        for name in ("hidden", "shown"):
            (self.host / name / "next").symlink_to("..2")
            (self.host / name / "next").rename(self.host / name / "..data")
        def read(name: str) -> str:
            answer = self.post(self.pod_id, {"path": f"/config/{name}"})
            return json.loads(answer)["file"] if answer.startswith("{") else "gone"
        wait_until(lambda: read("shown") == "..2")
        self.assertEqual(read("hidden"), "gone")


class ReadOnlyRoot(MountCase):
    def test_only_mounts_change(self):
        self.volume("data")
        self.volume("tmp")
        self.run_code("""
import tempfile
refused(errno.EROFS,
        lambda: open("/new", "w"), lambda: open("/function/x", "w"), lambda: open("/etc/passwd", "a"),
        lambda: open(os.__file__, "r+"), lambda: os.mkdir("/var/new"), lambda: os.unlink("/etc/passwd"),
        lambda: os.rename("/etc/passwd", "/etc/other"), lambda: os.chmod("/etc/passwd", 0o600),
        lambda: os.chown("/etc/passwd", 1, 1), lambda: os.utime("/etc/passwd"), lambda: os.chmod(os.__file__, 0),
        lambda: os.symlink("a", "/b"), lambda: os.truncate("/etc/passwd", 0), lambda: os.rmdir("/root"),
        lambda: os.open("/var", os.O_RDWR | os.O_TMPFILE), lambda: open("/etc/hostname", "w"))
assert " ro " in open("/proc/mounts").read()
pathlib.Path("/data/made").write_text("here")
os.rename("/data/made", "/data/moved")
with tempfile.NamedTemporaryFile() as f:
    f.write(b"x" * 100000)
    assert f.name.startswith("/tmp/")
open("/dev/null", "w").write("gone")
assert os.stat("/etc/passwd").st_size
""", [self.mount("data", "/data"), self.mount("tmp", "/tmp")], readonly_rootfs=True)
        self.assertEqual((self.host / "data" / "moved").read_text(), "here")
        self.assertEqual(os.listdir(self.host / "tmp"), [])

    def test_the_next_container_may_write(self):
        self.run_code("refused(errno.EROFS, lambda: open('/new', 'w'))", [], name="first", readonly_rootfs=True)
        self.run_code("open('/new', 'w').write('x')", [], name="second")

    def test_what_the_function_keeps_for_itself(self):
        self.run_code("""
import ctypes, mmap
d = pathlib.Path("/run/usetl")
with open(d / "mapped", "w+b") as f:
    f.write(b"a" * 5000); f.flush()
    with mmap.mmap(f.fileno(), 5000) as m:
        m[4096:4100] = b"here"
assert (d / "mapped").read_bytes()[4090:4105] == b"a" * 6 + b"here" + b"a" * 5
os.link(d / "mapped", d / "linked")
assert (d / "linked").stat().st_nlink == 2
(d / "other").write_text("other")
RENAMEAT2, EXCHANGE = 316, 2
os.chdir(d)
assert ctypes.CDLL(None).syscall(RENAMEAT2, -100, b"other", -100, b"mapped", EXCHANGE) == 0
assert (d / "mapped").read_text() == "other"
refused(errno.EXDEV, lambda: os.rename(d / "other", "/tmp/other"), lambda: os.link("/etc/passwd", d / "passwd"))
refused(errno.EROFS, lambda: os.link("/etc/passwd", "/etc/other"), lambda: open("/run/x", "w"))
""", [], readonly_rootfs=True)


class DeepMounts(MountCase):
    def test_below_directories_that_nobody_has(self):
        self.volume("data")
        (self.host / "file").write_text("mounted")
        self.run_code("""
for path in ("/dev/made/below/file", "/made/below/file"):
    assert pathlib.Path(path).read_text() == "mounted" and os.listdir(os.path.dirname(path)) == ["file"]
pathlib.Path("/dev/shm/data/x").write_text("x")
assert os.path.exists("/dev/null")
""", [self.mount("file", "/dev/made/below/file", readonly=True), self.mount("file", "/made/below/file", readonly=True),
     self.mount("data", "/dev/shm/data")])
        self.assertEqual(os.listdir(self.host / "data"), ["x"])


class LargeAnswers(MountCase):
    def answer(self, *mounts, **context):
        pod = self.run_pod()
        code = "def handler(event, context):\n    return 'x' * event['size']\n"
        (self.host / "func.py").write_text(code)
        self.run_container(pod, mounts=[self.mount("func.py", "/function/func.py", readonly=True), *mounts],
                           working_dir="/function", linux=cri.LinuxContainerConfig(
                               security_context=cri.LinuxContainerSecurityContext(**context)))
        self.assertEqual(len(self.post(pod, {"size": 300_000})), 300_000)

    def test_of_a_read_only_root(self):
        self.answer(readonly_rootfs=True)

    def test_below_a_mount(self):
        volume = self.volume("run", 0o755)
        (volume / "usetl").mkdir()
        (volume / "usetl" / "kept").write_text("kept")
        for number, readonly in enumerate((False, True)):
            with self.subTest(readonly=readonly):
                self.answer(self.mount("run", "/run", readonly))
                self.remove_all()
        self.answer(self.mount("run", "/run"), run_as_user=cri.Int64Value(value=1234))
        self.assertEqual(os.listdir(volume / "usetl"), ["kept"])

    def test_a_mount_is_written_beside_them(self):
        volume = self.volume("run")
        (volume / "usetl" / "body").mkdir(parents=True)
        (volume / "usetl" / "body" / "name").write_text("no body of a request")
        self.run_code("pathlib.Path('/run/x').write_text('x'); pathlib.Path('/run/usetl/y').write_text('y')\n"
                      "assert not os.path.exists('/run/usetl/body/name')",
                      [self.mount("run", "/run")])
        self.assertEqual(sorted(os.listdir(volume)), ["usetl", "x"])
        self.assertEqual(os.listdir(volume / "usetl"), ["body"])


class WritableMounts(MountCase):
    def test_everything_that_changes(self):
        volume = self.volume("data")
        (volume / "old").write_text("0123456789")
        (volume / "gone").write_text("x")
        self.run_code("""
d = pathlib.Path("/data")
assert sorted(os.listdir(d)) == ["gone", "old"]
(d / "a" / "b").mkdir(parents=True)
(d / "a" / "b" / "f").write_text("made")
(d / "a" / "b" / "f").rename(d / "moved")
with open(d / "moved", "a") as f:
    os.rename(d / "moved", d / "again")
    f.write(" and more")
with open(d / "old", "r+") as f:
    f.seek(3); f.write("abc"); f.truncate(8)
(d / "gone").unlink()
(d / "link").symlink_to("old")
(d / "open").write_text("x"); unlinked = open(d / "open", "w"); (d / "open").unlink(); unlinked.write("y"); unlinked.flush()
os.chmod(d / "again", 0o600)
(d / "a" / "b").rmdir()
big = open(d / "big", "wb"); big.write(bytes(range(256)) * 10000); big.close()
os.rename(d / "a", d / "dir"); (d / "dir" / "below").write_text("b")
""", [self.mount("data", "/data")])
        self.assertEqual(sorted(os.listdir(volume)), ["again", "big", "dir", "link", "old"])
        self.assertEqual((volume / "again").read_text(), "made and more")
        self.assertEqual(stat.S_IMODE((volume / "again").stat().st_mode), 0o600)
        self.assertEqual((volume / "old").read_text(), "012abc67")
        self.assertEqual(os.readlink(volume / "link"), "old")
        self.assertEqual((volume / "big").read_bytes(), bytes(range(256)) * 10000)
        self.assertEqual((volume / "dir" / "below").read_text(), "b")

    def test_next_container_sees_it(self):
        self.volume("data")
        mounts = [self.mount("data", "/data")]
        self.run_code("pathlib.Path('/data/x').write_text('from init')", mounts, name="init")
        self.run_code("assert pathlib.Path('/data/x').read_text() == 'from init'", mounts, name="main")

    def test_of_a_server(self):
        volume = self.volume("data")
        pod = self.run_pod()
        self.run_container(pod, mounts=[self.mount("data", "/data")])
        (volume / "later").write_text("x")
        self.assertEqual(json.loads(self.post(pod, {"path": None, "name": "n"}))["hello"], "n")

    def test_user_and_groups(self):
        volume = self.volume("data", 0o2775)
        os.chown(volume, 0, 2000)
        self.run_code("pathlib.Path('/data/f').write_text('x')", [self.mount("data", "/data")],
                      run_as_user=cri.Int64Value(value=1234), run_as_group=cri.Int64Value(value=77),
                      supplemental_groups=[2000])
        made = (volume / "f").stat()
        self.assertEqual((made.st_uid, made.st_gid), (1234, 2000))

    def test_who_may_not_write(self):
        volume = self.volume("data", 0o755)
        self.run_code("""
refused(errno.EACCES, lambda: open("/data/f", "w"), lambda: os.mkdir("/data/d"), lambda: os.symlink("x", "/data/l"))
assert os.listdir("/data") == []
""", [self.mount("data", "/data")], run_as_user=cri.Int64Value(value=1234))
        self.assertEqual(os.listdir(volume), [])

    def test_ids_that_would_stay_root(self):
        self.volume("data")
        pod = self.run_pod()
        for user in ("4294967295", "1000:4294967295", "-1", "nobody"):
            context = cri.LinuxContainerSecurityContext(run_as_username=user)
            self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT,
                              f'^usetl: the image.s /etc/(passwd|group) has no (user|group) "{user.split(":")[-1]}": use ',
                              self.create, pod=pod, mounts=[self.mount("data", "/data")],
                              linux=cri.LinuxContainerConfig(security_context=context))

    def test_devices_are_not_opened(self):
        (self.host / "dev").mkdir()
        os.mkfifo(self.host / "dev/fifo")
        os.mknod(self.host / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        self.run_code("assert os.listdir('/data') == []", [self.mount("dev", "/data", readonly=True)])
        container = self.create(self.pod_id, "device", mounts=[self.mount("dev/null", "/data")])
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "neither file nor directory", self.client.StartContainer,
                          container_id=container)

    def test_root_writes_files_of_others(self):
        volume = self.volume("data", 0o700)
        os.chown(volume, 1234, 1234)
        self.run_code("pathlib.Path('/data/f').write_text('x')", [self.mount("data", "/data")])
        self.assertEqual((volume / "f").read_text(), "x")

    def test_links_of_the_host_are_not_followed(self):
        volume = self.volume("data")
        outside = self.volume("outside")
        self.run_code("""
os.symlink("../outside", "/data/up"); os.makedirs("/outside"); open("/outside/f", "w").write("mine")
open("/data/up/g", "w").write("mine")
assert os.listdir("/outside") == ["f", "g"]
""", [self.mount("data", "/data")])
        self.assertEqual((os.listdir(volume), os.listdir(outside)), (["up"], []))

    def test_read_only(self):
        volume = self.volume("data")
        (volume / "f").write_text("x")
        self.run_code("""
refused(errno.EROFS, lambda: open("/data/f", "a"), lambda: os.unlink("/data/f"), lambda: os.mkdir("/data/d"),
        lambda: os.rename("/data/f", "/data/g"), lambda: os.chmod("/data/f", 0o600))
assert open("/data/f").read() == "x"
""", [self.mount("data", "/data", readonly=True)])
        self.assertEqual((volume / "f").read_text(), "x")

    def test_what_is_not_there(self):
        container = self.create(self.run_pod(), "missing", mounts=[self.mount("missing", "/data")])
        # Not NOT_FOUND: the container is there.
        self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION,
                          f"^container missing: mount /data: usetl: the node has no {self.host}/missing; make it, or give the hostPath "
                          "type: DirectoryOrCreate$", self.client.StartContainer, container_id=container)

    def test_mount_in_a_mount(self):
        outer, inner = self.volume("outer"), self.volume("inner")
        (outer / "in").mkdir()
        (outer / "in" / "hidden").write_text("x")
        (inner / "key").write_text("v")
        self.run_code("""
assert os.listdir("/data/in") == ["key"]
pathlib.Path("/data/f").write_text("x")
refused(errno.EROFS, lambda: open("/data/in/key", "w"))
refused(errno.EXDEV, lambda: os.rename("/data/f", "/data/in/f"), lambda: os.rename("/data/f", "/tmp/f"))
refused(errno.EPERM, lambda: os.link("/data/f", "/data/g"))
refused(errno.EBUSY, lambda: os.rmdir("/data/in"), lambda: os.rename("/data/in", "/data/on"))
""", [self.mount("inner", "/data/in", readonly=True), self.mount("outer", "/data")])
        self.assertEqual(sorted(os.listdir(outer)), ["f", "in"])

    def test_shared_mappings_are_refused(self):
        self.volume("data")
        self.run_code("""
import mmap
f = open("/data/f", "w+b"); f.write(b"x" * 4096); f.flush()
# The first would not be seen on the host, the second not show what is written here.
refused(errno.ENODEV, lambda: mmap.mmap(f.fileno(), 4096),
        lambda: mmap.mmap(f.fileno(), 4096, access=mmap.ACCESS_READ))
f.close()
f = open("/data/f", "rb")
assert mmap.mmap(f.fileno(), 4096, access=mmap.ACCESS_READ)[:1] == b"x"
""", [self.mount("data", "/data")])

    def test_host_mount_within(self):
        volume = self.volume("data")
        (volume / "sub").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", volume / "sub"], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", volume / "sub"], check=True)
        self.run_code("pathlib.Path('/data/sub/f').write_text('x')", [self.mount("data", "/data")])
        self.assertEqual((volume / "sub" / "f").read_text(), "x")

    def test_too_many(self):
        mounts = []
        for i in range(31):
            self.volume(f"v{i}")
            mounts.append(self.mount(f"v{i}", f"/v{i}"))
        container = self.create(self.run_pod(), mounts=mounts)
        with self.assertRaisesRegex(Exception, "more than 30 mounts of directories and of files to write"):
            self.client.StartContainer(container_id=container)
        self.assertEqual(self.status(container).state, EXITED)


class Updates(MountCase):
    """What the kubelet does with a ConfigMap: a new directory, `..data` renamed to it, the old one removed."""

    def publish(self, version: int, **files: str) -> None:
        config = self.host / "config"
        config.mkdir(exist_ok=True)
        made = config / f"..{version}"
        made.mkdir()
        for name, text in files.items():
            (made / name).write_text(text)
        before = os.readlink(config / "..data") if version > 1 else None
        (config / "..data_tmp").symlink_to(made.name)
        (config / "..data_tmp").rename(config / "..data")
        for name in files:
            if not os.path.lexists(config / name):
                (config / name).symlink_to(f"..data/{name}")
        if before is not None:
            for path in config.iterdir():
                if path.is_symlink() and not path.exists():
                    path.unlink()
            shutil.rmtree(config / before)

    def serve(self) -> None:
        self.pod_id = self.run_pod()
        self.container = self.run_container(self.pod_id, mounts=[
            self.mount("config", "/etc/config", readonly=True),
            self.mount("config/..1/key", "/etc/fixed", readonly=True)])

    def read(self, path: str) -> str:
        answer = self.post(self.pod_id, {"path": path})
        return json.loads(answer)["file"] if answer.startswith("{") else "gone"

    def test_are_seen(self):
        self.publish(1, key="one", dropped="x")
        self.serve()
        self.assertEqual((self.read("/etc/config/key"), self.read("/etc/config/dropped")), ("one", "x"))
        for version in range(2, 40):
            self.publish(version, key=f"v{version}" * 2000, added="new")
            wait_until(lambda: self.read("/etc/config/key") == f"v{version}" * 2000)
        wait_until(lambda: self.read("/etc/config/added") == "new")
        wait_until(lambda: self.read("/etc/config/dropped") == "gone")
        wait_until(lambda: self.read("/etc/config/..38/key") == "gone")
        self.assertEqual(self.read("/etc/fixed"), "one")

    def test_are_seen_after_a_restart(self):
        self.publish(1, key="one")
        self.serve()
        self.kill()
        self.publish(2, key="two")
        self.start()
        wait_until(lambda: self.read("/etc/config/key") == "two")
        self.publish(3, key="three")
        wait_until(lambda: self.read("/etc/config/key") == "three")
