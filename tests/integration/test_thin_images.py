"""Thin images: their layers are mapped into a USF of the node's runtime, over what that has."""

import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

import grpc
from cri import BUILD, container_config, cri
from cri_case import CriCase
from image_file import import_layout, layout_of

PACKAGES = pathlib.Path("/usr/lib/python3/dist-packages")
LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu")
LIBRARY = LIBRARIES / "libprotobuf.so.32"
BIG = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(1_250_000))  # 40 MB
MANY = 5000
CROWD_SIZE = 80_000

# What each script begins with.
HEAD = """
import hashlib, os, pathlib
P = pathlib.Path
def fails(error, call, *arguments):
    try:
        call(*arguments)
    except OSError as e:
        assert e.errno == error, e
    else:
        raise AssertionError(arguments)
"""
LOOK = """
assert P("/opt/plain").read_text() == "upper", P("/opt/plain").read_text()
assert sorted(os.listdir("/opt")) == ["big", "lib", "link", "many", "nowhere", "opaque", "plain", "run", "site", "was_directory", "was_file"], os.listdir("/opt")
assert not P("/opt/gone").exists() and not P("/opt/opaque/lower").exists()
assert os.listdir("/opt/opaque") == ["upper"]
assert P("/opt/was_directory").read_text() == "file" and P("/opt/was_file/below").read_text() == "x"
assert P("/opt/link").read_text() == "upper" and os.readlink("/opt/link") == "plain"
names = os.listdir("/opt/many")
assert len(names) == len(set(names)) == %(many)d
assert all(P(f"/opt/many/{i}").read_text() == str(i) for i in range(0, %(many)d, 7))
assert hashlib.sha256(P("/opt/big").read_bytes()).hexdigest() == "%(sum)s"
# Over the runtime: a file hidden, one added, a whole library; the rest is there as ever, whatever the image removes.
assert P("/usr/bin/wc").read_text() == "mine" and P("/usr/bin/cat").exists() and P("/bin/sh").exists()
assert P("/usr/bin/vi").exists() and "vi" in os.listdir("/usr/bin")
assert P("/bin/tool").read_text() == P("/usr/bin/tool").read_text() == "tool" and os.path.islink("/bin")
assert sorted(os.listdir("/usr/share/zoneinfo/Arctic")) == ["Inner", "Longyearbyen"]
assert "Europe" in os.listdir("/usr/share/zoneinfo") and P("/usr/share/zoneinfo/Europe/Rome").exists()
from xml import beside
assert beside.VALUE == 3
import xml.dom.minidom
for needed in ("/tmp", "/run", "/dev/null", "/proc/self"):
    assert P(needed).exists(), needed
""" % {"many": MANY, "sum": hashlib.sha256(BIG).hexdigest()}
NATIVE = """
from google.protobuf import descriptor_pb2
from google.protobuf.internal import api_implementation
assert api_implementation.Type() == "cpp", api_implementation.Type()
message = descriptor_pb2.FileDescriptorProto(name="n", package="p")
assert descriptor_pb2.FileDescriptorProto.FromString(message.SerializeToString()) == message
assert "/opt/site" in descriptor_pb2.__file__
import mmap
with open("/opt/big", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
    assert whole[:32] == hashlib.sha256(b"0").digest()
with open("/opt/big", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as whole:
    whole[0:4] = b"mine"
    assert whole[:4] == b"mine" and whole[32:64] == hashlib.sha256(b"1").digest()
"""
CHANGE = """
with open("/opt/plain", "a") as file:
    file.write(" and more")
assert P("/opt/plain").read_text() == "upper and more" == P("/opt/link").read_text()
os.rename("/opt/many", "/tmp/moved")
assert not P("/opt/many").exists() and P("/tmp/moved/77").read_text() == "77" and len(os.listdir("/tmp/moved")) == %d
os.rename("/opt/was_file/below", "/opt/opaque/below")
assert sorted(os.listdir("/opt/opaque")) == ["below", "upper"] and os.listdir("/opt/was_file") == []
os.rmdir("/opt/was_file")
os.remove("/opt/was_directory")
os.mkdir("/opt/was_directory")
assert os.listdir("/opt/was_directory") == []
os.remove("/usr/bin/wc")
fails(2, os.stat, "/usr/bin/wc")  # the runtime's does not come back
assert "wc" not in os.listdir("/usr/bin")
with open("/opt/many", "x") as file:
    file.write("a file now")
os.remove("/opt/big")
P("/opt/big").write_text("small")
assert P("/opt/big").stat().st_size == 5
""" % MANY
# As builders leave it: every directory that a layer makes below one that others have is opaque.
OPAQUE = HEAD + """
assert P("/usr/lib/made/x").exists() and "python3.11" in os.listdir("/usr/lib")
assert P("/usr/bin/cat").exists() and "cat" in os.listdir("/usr/bin")
import colorsys, sndhdr  # of directories that were looked into before the image came
assert P("/usr/share/zoneinfo/Europe/Rome").exists() and P("/etc/passwd").exists()
for gone in ("/usr/bin/lower", "/bin/lower_too", "/usr/share/lower"):
    assert not os.path.lexists(gone), gone
assert os.listdir("/usr/lib/was_lower") == ["upper"]
assert os.path.islink("/bin") and P("/usr/bin/new").read_text() == P("/bin/new").read_text() == "new"
assert P("/usr/bin/both").read_text() == "bin", P("/usr/bin/both").read_text()
assert P("/usr/bin/of_usr").read_text() == "usr" and sorted(os.listdir("/bin/parts")) == ["bin", "usr"]
# Where the agent puts large answers stays what it is.
assert P("/run/usetl/mine").exists() and P("/run/usetl/body").exists()
P("/run/usetl/written").write_text("x")
fails(18, os.rename, "/run/usetl/written", "/tmp/written")
names = os.listdir("/usr/bin")
assert len(names) == len(set(names)) and {"new", "both", "of_usr", "parts"} <= set(names)
"""
# Looks at names until the kernel's memory is full, which is no reason to say that others do not exist.
CROWD = HEAD + """
count = 0
def look(name):
    global count
    os.lstat(f"/crowd/{name}")
    count += 1
try:
    for name in range(%(crowd)d):
        look(name)
except MemoryError:
    raise
except OSError as e:
    assert e.errno == 12, e
assert 30_000 < count < %(crowd)d, count
for _ in range(3):
    fails(12, os.lstat, f"/crowd/{count}")
    fails(12, os.listdir, "/crowd")
assert os.lstat("/crowd/7").st_size == 0
fails(2, os.lstat, "/crowd/never")
print(count)
""" % {"crowd": CROWD_SIZE}
# In an image with the files of a whole distribution.
AGAIN = """
import os, sys
import bz2, curses, sqlite3
if len(sys.argv) == 1:
    os.execv(sys.executable, [sys.executable, __file__, "again"])
"""
MAIN = b"""
open("/opt/written", "w").write("by the function")
def handler(event, context):
    return [event["name"], open("/opt/plain").read()]
"""
MERGED = b"""
import os
assert sorted(os.listdir("/bin/kept")) == ["bin", "usr"], os.listdir("/bin/kept")
"""
NOTHING = HEAD + """
assert not P("/opt").exists() and not os.path.lexists("/usr/bin/tool")
assert P("/usr/bin/vi").exists() and P("/usr/bin/wc").read_bytes()[:4] == b"\\x7fELF"
assert "Rome" in os.listdir("/usr/share/zoneinfo/Europe") and "Inner" not in os.listdir("/usr/share/zoneinfo/Arctic")
try:
    from xml import beside
except ImportError:
    pass
else:
    raise AssertionError("a module of another image")
"""


def write(path: pathlib.Path, files: dict[str, bytes], links: dict[str, str],
          *trees: tuple[pathlib.Path, str]) -> pathlib.Path:
    """A layer of files, links, and what is on this machine, under other names."""
    with tarfile.open(path, "w", dereference=True) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
        for source, name in trees:
            archive.add(source, name)
    return path


class ThinImages(CriCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = pathlib.Path(tempfile.mkdtemp(prefix="usetl-thin-", dir="/dev/shm"))
        cls.addClassCleanup(shutil.rmtree, made)
        lower = write(made / "lower.tar", {
            "opt/plain": b"lower", "opt/gone": b"", "opt/opaque/lower": b"", "opt/was_directory/below": b"",
            "opt/was_file": b"", "opt/big": BIG, **{f"opt/many/{i}": b"%d" % i for i in range(MANY)},
            "usr/bin/wc": b"mine", "bin/tool": b"tool", "usr/lib/python3.11/xml/beside.py": b"VALUE = 3\n"},
            {"opt/link": "plain", "opt/nowhere": "/none/there", "opt/run": "/run"},
            (PACKAGES / "google", "opt/site/google"), (LIBRARY, str(LIBRARY)[1:]))
        upper = write(made / "upper.tar", {
            "opt/plain": b"upper", "opt/.wh.gone": b"", "opt/opaque/.wh..wh..opq": b"", "opt/opaque/upper": b"",
            "opt/was_directory": b"file", "opt/.wh.was_file": b"", "opt/lib/x": b"", "usr/bin/.wh.vi": b"",
            "usr/share/zoneinfo/Arctic/.wh..wh..opq": b"", "usr/share/zoneinfo/Arctic/Inner": b""}, {})
        top = write(made / "top.tar", {
            "opt/was_file/below": b"x", "function/look.py": (HEAD + LOOK).encode(),
            "function/native.py": (HEAD + NATIVE).encode(),
            "function/change.py": (HEAD + LOOK + CHANGE).encode(), "function/main.py": MAIN}, {})
        cls.add_image(made, "thin", lower, upper, top)
        cls.add_image(made, "other", write(made / "other.tar", {"function/nothing.py": NOTHING.encode()}, {}))
        cls.add_image(made, "opaque", write(made / "below.tar", {
            "usr/bin/lower": b"", "bin/lower_too": b"", "usr/share/lower": b"", "usr/lib/was_lower": b"",
            "function/opaque.py": OPAQUE.encode()}, {}), write(made / "over.tar", {
                f"{directory}/.wh..wh..opq": b"" for directory in (
                    "usr", "usr/bin", "usr/lib", "usr/lib/python3.11", "usr/lib/made", "bin", "bin/parts", "usr/share",
                    "usr/share/zoneinfo", "etc")} | {
                "run/.wh..wh..opq": b"", "run/usetl/mine": b"", "usr/lib/made/x": b"",
                "usr/lib/was_lower/upper": b"", "bin/new": b"new", "bin/both": b"bin",
                "usr/bin/both": b"usr", "usr/bin/of_usr": b"usr", "bin/parts/bin": b"", "usr/bin/parts/usr": b"",
                "usr/lib/python3.11/.wh.sndhdr.py": b"", "usr/share/zoneinfo/.wh.Europe": b""}, {}))
        cls.add_image(made, "merged", write(made / "usr.tar", {"usr/bin/kept/usr": b""}, {}), write(made / "bin.tar", {
            "bin/kept/.wh..wh..opq": b"", "bin/kept/bin": b"", "function/merged.py": MERGED}, {}))
        cls.add_image(made, "distribution", write(
            made / "distribution.tar", {"function/again.py": AGAIN.encode()}, {"lib": "usr/lib", "lib64": "usr/lib64"},
            (pathlib.Path("/etc/ld.so.cache"), "etc/ld.so.cache"),
            (LIBRARIES / "ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
            *((LIBRARIES / name, f"usr/lib/x86_64-linux-gnu/{name}")
              for name in ("ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libz.so.1"))))
        cls.add_image(made, "crowd", write(made / "crowd.tar", {
            "function/crowd.py": CROWD.encode(), **{f"crowd/{i}": b"" for i in range(CROWD_SIZE)}}, {}))
        cls.add_image(made, "damaged", write(made / "damaged.tar", {"function/look.py": b"pass"}, {}))
        layers = [write(made / f"layer-{i}.tar", {f"function/{i}.py": b"pass\n"}, {}) for i in range(32)]
        cls.add_image(made, "layers", *layers[:31])
        cls.add_image(made, "too_many", *layers)

    @classmethod
    def add_image(cls, made: pathlib.Path, name: str, *layers: pathlib.Path) -> None:
        layout = layout_of(made / name, layers, "--config.workingdir", "/function", "--config.env",
                           "PYTHONPATH=/opt/site", "--config.env", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=cpp")
        import_layout(cls.directory / "images", layout, f"localhost/{name}:1")

    def start_image(self, pod: str, image: str, *command: str, mounts=()) -> str:
        config = container_config("job", f"localhost/{image}:1", command=command, mounts=mounts)
        container = self.client.CreateContainer(pod_sandbox_id=pod, config=config,
                                                sandbox_config=self.pod).container_id
        self.client.StartContainer(container_id=container)
        return container

    def run_script(self, pod: str, image: str, script: str, mounts=()) -> str:
        container = self.start_image(pod, image, "python3", f"{script}.py", mounts=mounts)
        status = self.wait_exited(container)
        log = pathlib.Path(status.log_path).read_text()
        self.assertEqual(status.exit_code, 0, log)
        self.client.RemoveContainer(container_id=container)
        return log

    def test_layers_are_one_tree(self):
        self.run_script(self.run_pod(), "thin", "look")

    def test_removes_nothing_of_the_runtime(self):
        pod = self.run_pod()
        for _ in range(2):
            self.run_script(pod, "opaque", "opaque")

    def test_more_names_than_the_kernel_holds(self):
        pod = self.run_pod()
        self.run_script(pod, "crowd", "crowd")
        self.run_script(pod, "thin", "look")

    def test_bin_removes_nothing_of_usr_bin(self):
        self.run_script(self.run_pod(), "merged", "merged")

    def test_another_loader(self):
        self.run_script(self.run_pod(), "distribution", "again")

    def test_a_mount_without_a_place_is_refused(self):
        source = self.directory / "host" / "mounted"
        source.parent.mkdir()
        source.write_text("x")
        for path, cause in (("/opt/plain/below", "a part of the path is a file"),
                            ("/usr/bin/wc/a/b", "a part of the path is a file"),
                            ("/opt/nowhere/below", "No such file or directory"),
                            ("/opt/run/usetl", "it leads to /run/usetl"),
                            ("/opt/run/usetl/file", "No such file or directory")):
            directory = path.endswith("usetl")
            mount = cri.Mount(container_path=path, host_path=str(source.parent if directory else source),
                              readonly=True)
            self.assert_fails(grpc.StatusCode.UNKNOWN, f"mount {path}: {cause}", self.start_image,
                              pod=self.run_pod(path.replace("/", "-")), image="thin", mounts=[mount])

    def test_extension_modules(self):
        self.run_script(self.run_pod(), "thin", "native")

    def test_changes_are_the_functions(self):
        pod = self.run_pod()
        for _ in range(2):
            self.run_script(pod, "thin", "change")

    def test_nothing_stays(self):
        pod = self.run_pod()
        for _ in range(4):  # USFs of the pool, fresh and used
            self.run_script(pod, "thin", "change")
            self.run_script(pod, "other", "nothing")

    def test_many_layers(self):
        pod = self.run_pod()
        self.run_script(pod, "layers", "30")
        mounts = [cri.Mount(container_path=f"/data/{i}", host_path=str(self.directory / f"data-{i}"))
                  for i in range(16)]
        for mount in mounts:
            pathlib.Path(mount.host_path).touch()
        self.run_script(pod, "layers", "0", mounts)
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "the image has 32 layers, a function takes 31",
                          self.start_image, pod=pod, image="too_many")

    def test_programs_see_them(self):
        pod = self.run_pod()
        container = self.start_image(pod, "thin")
        self.assertEqual(self.post(pod, {"name": "x"}), '["x","upper"]')
        programs = {("cat", "/opt/plain"): b"upper", ("cat", "/opt/written"): b"by the function",
                    ("ls", "/opt/opaque"): b"upper\n",
                    ("python3", "-c", "import google.protobuf.descriptor_pb2 as d; print(d.__file__)"):
                        b"/opt/site/google/protobuf/descriptor_pb2.py\n"}
        for command, output in programs.items():
            done = self.client.ExecSync(container_id=container, timeout=20, cmd=command)
            self.assertEqual((done.stdout, done.exit_code), (output, 0), done.stderr)
        self.assertEqual(self.post(pod, {"name": "y"}), '["y","upper"]')

    def test_a_damaged_pack_is_refused(self):
        pod = self.run_pod()
        self.run_script(pod, "damaged", "look")
        shown = subprocess.run([BUILD / "usetl", "image", "ls", "--store", self.directory / "images", "--json",
                                "localhost/damaged:1"], check=True, capture_output=True, text=True).stdout
        [pack] = json.loads(shown)[0]["packs"]
        with open(pack, "r+b") as file:
            file.seek(88 + 56)  # where the name of the second entry is
            file.write(b"\xff" * 8)
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, "open pack .*: ", self.start_image, pod=pod,
                          image="damaged")
