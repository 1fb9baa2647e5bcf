"""Directories of a pod that several look at: containers, and whoever is on the host."""

import hashlib
import json
import os
import unittest

from cri import cri
from mount_case import MountCase

FUNCTION = """
import errno, os, pathlib, shutil
def handler(event, context):
    scope = {**globals(), "result": None}
    try:
        exec(event["code"], scope)
    except OSError as error:
        return {"error": errno.errorcode[error.errno]}
    return {"result": scope["result"]}
def refused(error, act):
    try:
        act()
    except OSError as raised:
        assert raised.errno == error, raised
    else:
        raise AssertionError("it was not refused")
kept = {}
"""


class LiveCase(MountCase):
    def setUp(self):
        super().setUp()
        (self.host / "func.py").write_text(FUNCTION)
        self.pod_id = self.run_pod()

    def serve(self, name: str, port: int, *mounts: "cri.Mount", **context) -> str:
        return self.run_container(
            self.pod_id, name, mounts=[self.mount("func.py", "/function/func.py", readonly=True), *mounts],
            envs=[cri.KeyValue(key="PORT", value=str(port).encode())], working_dir="/function",
            linux=cri.LinuxContainerConfig(security_context=cri.LinuxContainerSecurityContext(**context)))

    def ask(self, port: int, code: str):
        """What the function says `result` is after `code`, or the name of the error that it ended with."""
        answer = self.call(self.pod_id, "-H", "content-type: application/json", "-d", json.dumps({"code": code}),
                           port=port)
        try:
            said = json.loads(answer)
        except json.JSONDecodeError:
            self.fail(answer)
        return said.get("error", said.get("result"))

    def a(self, code: str):
        return self.ask(8081, code)

    def b(self, code: str):
        return self.ask(8082, code)


class TwoContainers(LiveCase):
    def setUp(self):
        super().setUp()
        self.data = self.volume("data")
        self.serve("a", 8081, self.mount("data", "/data"))
        self.serve("b", 8082, self.mount("data", "/srv/data"))

    def test_see_each_others_files(self):
        self.assertEqual(self.b("result = os.listdir('/srv/data')"), [])
        self.assertEqual(self.b("open('/srv/data/x')"), "ENOENT")
        self.a("open('/data/x', 'w').write('one')")
        self.assertEqual(self.b("result = os.listdir('/srv/data'), open('/srv/data/x').read()"), [["x"], "one"])
        self.b("open('/srv/data/x', 'a').write(' two')")
        self.assertEqual(self.a("result = open('/data/x').read(), os.stat('/data/x').st_size"), ["one two", 7])
        self.a("os.makedirs('/data/d/e'); open('/data/d/e/f', 'w').write('deep')")
        self.assertEqual(self.b("result = open('/srv/data/d/e/f').read()"), "deep")
        self.b("os.rename('/srv/data/d/e', '/srv/data/d/g')")
        self.assertEqual(self.a("result = os.path.exists('/data/d/e/f'), os.listdir('/data/d'), "
                                "open('/data/d/g/f').read()"), [False, ["g"], "deep"])
        self.b("os.unlink('/srv/data/d/g/f'); os.rmdir('/srv/data/d/g')")
        self.assertEqual(self.a("result = os.listdir('/data/d'), os.path.exists('/data/d/g')"), [[], False])
        self.assertEqual(self.a("open('/data/d/g/f', 'w')"), "ENOENT")
        self.assertEqual(self.a("os.rmdir('/data/d'); result = os.listdir('/data')"), ["x"])

    def test_same_size_in_the_same_tick(self):
        for i in range(30):
            self.a(f"open('/data/x', 'w').write('{i:04}')")
            self.assertEqual(self.b("result = open('/srv/data/x').read()"), f"{i:04}")

    def test_rename_over_what_the_other_made(self):
        self.b("open('/srv/data/target', 'w').write('old')")
        self.a("open('/data/new', 'w').write('new'); os.rename('/data/new', '/data/target')")
        self.assertEqual(self.b("result = open('/srv/data/target').read(), os.listdir('/srv/data')"),
                         ["new", ["target"]])
        self.b("os.mkdir('/srv/data/full'); open('/srv/data/full/f', 'w')")
        self.assertEqual(self.a("os.mkdir('/data/empty'); os.rename('/data/empty', '/data/full')"), "ENOTEMPTY")
        self.assertEqual(self.a("os.rmdir('/data/full')"), "ENOTEMPTY")
        self.assertEqual(self.a("os.mkdir('/data/full')"), "EEXIST")
        self.assertEqual(self.a("os.open('/data/target', os.O_CREAT | os.O_EXCL)"), "EEXIST")

    def test_types_change(self):
        self.a("open('/data/n', 'w').write('file')")
        self.assertEqual(self.b("result = open('/srv/data/n').read()"), "file")
        self.a("os.unlink('/data/n'); os.mkdir('/data/n'); open('/data/n/in', 'w').write('in')")
        self.assertEqual(self.b("result = os.listdir('/srv/data/n'), open('/srv/data/n/in').read()"), [["in"], "in"])
        self.a("shutil.rmtree('/data/n'); os.symlink('elsewhere', '/data/n'); os.mkdir('/data/elsewhere')")
        self.assertEqual(self.b("result = os.readlink('/srv/data/n'), os.listdir('/srv/data/n')"), ["elsewhere", []])
        self.a("os.unlink('/data/n'); os.symlink('other', '/data/n')")
        self.assertEqual(self.b("result = os.readlink('/srv/data/n')"), "other")

    def test_open_files_stay(self):
        self.a("open('/data/x', 'w').write('0123456789' * 50000)")
        self.b("kept['f'] = open('/srv/data/x'); result = kept['f'].read(4)")
        self.a("os.unlink('/data/x'); open('/data/x', 'w').write('another')")
        self.assertEqual(self.b("text = kept['f'].read(); result = len(text), text[-6:], os.fstat(kept['f'].fileno()).st_size"),
                         [499996, "456789", 500000])
        self.assertEqual(self.b("result = open('/srv/data/x').read()"), "another")
        self.b("kept['w'] = open('/srv/data/x', 'r+')")
        self.a("os.rename('/data/x', '/data/moved')")
        self.b("kept['w'].write('ANO'); kept['w'].close(); kept.clear()")
        self.assertEqual(self.a("result = open('/data/moved').read(), os.listdir('/data')"), ["ANOther", ["moved"]])

    def test_appends_of_both(self):
        for i in range(5):
            self.a(f"kept.setdefault('f', open('/data/log', 'a')).write('a{i}\\n'); kept['f'].flush()")
            self.b(f"kept.setdefault('f', open('/srv/data/log', 'a')).write('b{i}\\n'); kept['f'].flush()")
        self.assertEqual((self.data / "log").read_text(), "".join(f"a{i}\nb{i}\n" for i in range(5)))

    def test_times_and_modes(self):
        self.a("open('/data/x', 'w'); os.utime('/data/x', ns=(1_000_000_005, 2_000_000_007)); os.chmod('/data/x', 0o640)")
        self.assertEqual(self.b("s = os.stat('/srv/data/x'); result = s.st_mtime_ns, s.st_mode & 0o777, s.st_nlink"),
                         [2_000_000_007, 0o640, 1])
        self.b("os.truncate('/srv/data/x', 5)")
        self.assertEqual(self.a("result = open('/data/x').read(), os.path.getsize('/data/x')"), ["\0" * 5, 5])

    def test_open_files_grow(self):
        self.a("open('/data/log', 'w').write('one\\n')")
        self.b("kept['f'] = open('/srv/data/log', 'rb', buffering=0); result = kept['f'].read(100).decode()")
        for line in ("two\n", "three\n"):
            self.assertEqual(self.b("result = kept['f'].read(100).decode()"), "")
            self.a(f"open('/data/log', 'a').write({line!r})")
            self.assertEqual(self.b("result = kept['f'].read(100).decode()"), line)
        self.a("open('/data/log', 'a').write('more')")
        self.assertEqual(self.b("result = os.fstat(kept['f'].fileno()).st_size, kept['f'].seek(0, 2)"), [18, 18])
        self.a("os.truncate('/data/log', 2)")
        self.assertEqual(self.b("import mmap; result = len(mmap.mmap(kept['f'].fileno(), 0, prot=mmap.PROT_READ)), "
                                "os.fstat(kept['f'].fileno()).st_size"), [2, 2])

    def test_open_files_keep_their_modes_and_times(self):
        self.a("kept['f'] = open('/data/log', 'w')")
        self.b("os.rename('/srv/data/log', '/srv/data/log.1'); open('/srv/data/log', 'w').close()")
        self.a("os.fchmod(kept['f'].fileno(), 0o600); os.utime(kept['f'].fileno(), (5, 5))")
        self.assertEqual(self.b("s, t = os.stat('/srv/data/log'), os.stat('/srv/data/log.1'); "
                                "result = s.st_mode & 0o777, s.st_mtime == 5, t.st_mode & 0o777, t.st_mtime"),
                         [0o644, False, 0o600, 5])

    def test_access_says_what_is_there_now(self):
        there = "result = os.access('/srv/data/x', os.F_OK), os.access('/srv/data/x', os.R_OK | os.W_OK)"
        self.assertEqual(self.b(there), [False, False])
        self.a("open('/data/x', 'w').close()")
        self.assertEqual(self.b(there), [True, True])
        self.a("os.unlink('/data/x')")
        self.assertEqual(self.b(there), [False, False])
        self.a("os.mkdir('/data/x')")
        self.assertEqual(self.b(there), [True, True])

    def test_no_file_is_made_that_would_be_a_directory(self):
        """More often than there are handles."""
        self.assertEqual(self.a("""
for i in range(600):
    refused(errno.EINVAL, lambda: os.open(f"/data/n{i}", os.O_CREAT | os.O_DIRECTORY | os.O_RDONLY))
result = os.listdir("/data"), open("/data/x", "w").write("there")"""), [[], 5])

    def test_blocks_and_room_are_the_hosts(self):
        self.a("with open('/data/sparse', 'wb') as f: f.truncate(1 << 30); f.write(b'x'); os.fsync(f.fileno())")
        blocks = (self.data / "sparse").stat().st_blocks
        self.assertLess(blocks, 4096)
        self.assertEqual(self.b("s = os.stat('/srv/data/sparse'); f = open('/srv/data/sparse'); "
                                "result = s.st_size, s.st_blocks, os.fstat(f.fileno()).st_blocks"),
                         [1 << 30, blocks, blocks])
        host = os.statvfs(self.data)
        figures = "s.f_frsize, s.f_blocks, s.f_files, s.f_namemax"
        expected = [host.f_frsize, host.f_blocks, host.f_files, host.f_namemax]
        for place in ("'/data'", "'/data/sparse'", "os.open('/data', os.O_RDONLY)", "os.open('/data/sparse', os.O_RDONLY)"):
            self.assertEqual(self.a(f"s = os.statvfs({place}); result = {figures}"), expected, place)
        self.assertEqual(self.a("s = os.statvfs('/data'); result = s.f_bavail <= s.f_bfree <= s.f_blocks, "
                                "s.f_flag & os.ST_RDONLY"), [True, 0])
        # Of an open file without a name, and of what the container has for itself.
        self.assertEqual(self.a("f = open('/data/gone', 'w'); os.unlink('/data/gone'); s = os.statvfs(f.fileno()); "
                                f"result = {figures}"), expected)
        self.assertNotEqual(self.a("result = os.statvfs('/tmp').f_blocks"), host.f_blocks)
        self.assertEqual(self.a("os.statvfs('/data/none')"), "ENOENT")

    def test_mapping_of_what_is_written(self):
        self.a("open('/data/x', 'w').write('text')")
        take = "import mmap; f = open('/data/x', '{}'); m = mmap.mmap(f.fileno(), 0, flags=mmap.{}, prot=mmap.PROT_READ); result = m[:].decode()"
        self.assertEqual(self.a(take.format("r", "MAP_SHARED")), "text")
        self.assertEqual(self.a(take.format("r+", "MAP_SHARED")), "ENODEV")
        self.assertEqual(self.a(take.format("r+", "MAP_PRIVATE")), "text")

    def test_mappings_of_what_grows(self):
        # More of them than the region has entries.
        self.assertEqual(self.a("import mmap\nwith open('/data/log', 'ab', buffering=0) as log, open('/data/log', 'rb') as f:\n"
                                "    for i in range(400):\n        log.write(b'line')\n"
                                "        with mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as m:\n"
                                "            assert m[-4:] == b'line' and len(m) == 4 * i + 4, len(m)\n"
                                "result = os.path.getsize('/data/log')"), 1600)

    def test_mapping_wants_a_file_that_is_read(self):
        self.a("open('/data/x', 'w').write('text')")
        for path in ("/data/x", "/tmp/x"):
            self.assertEqual(self.a(f"import mmap; open({path!r}, 'a').close(); f = os.open({path!r}, os.O_WRONLY); "
                                    "os.write(f, b'TEXT'); mmap.mmap(f, 4, prot=mmap.PROT_READ)"), "EACCES")

    def test_from_a_directory_within(self):
        self.a("os.mkdir('/data/d'); kept['d'] = os.open('/data/d', os.O_RDONLY)")
        self.b("open('/srv/data/d/new', 'w').write('n')")
        read = "os.read(os.open('{}', os.O_RDONLY, dir_fd=kept['d']), 9).decode()"
        self.assertEqual(self.a(f"result = {read.format('new')}, {read.format('../d/new')}, os.listdir(kept['d'])"),
                         ["n", "n", ["new"]])
        self.assertEqual(self.a("os.chdir('/data/d'); result = open('new').read(), os.listdir('.'), os.getcwd()"),
                         ["n", ["new"], "/data/d"])
        self.b("shutil.rmtree('/srv/data/d')")
        self.assertEqual(self.a("os.stat('new', dir_fd=kept['d'])"), "ENOENT")
        self.assertEqual(self.a("os.open('made', os.O_CREAT, dir_fd=kept['d'])"), "ENOENT")


class TheHost(LiveCase):
    def test_changes_are_seen(self):
        data = self.volume("data")
        (data / "lib").mkdir()
        self.serve("a", 8081, self.mount("data", "/data", readonly=True))
        (data / "lib" / "plugin.py").write_text("def value():\n    return 'plugged'\n")
        self.assertEqual(self.a("import sys; sys.path.insert(0, '/data/lib'); import plugin; result = plugin.value()"),
                         "plugged")
        (data / "lib" / "second.py").write_text("VALUE = 2\n")
        self.assertEqual(self.a("import importlib; importlib.invalidate_caches(); import second; result = second.VALUE"), 2)
        self.assertEqual(self.a("open('/data/x', 'w')"), "EROFS")
        self.assertEqual(self.a("open('/data/lib/plugin.py', 'r+')"), "EROFS")
        self.assertEqual(self.a("p = '/data/lib/plugin.py'; result = os.access(p, os.W_OK), os.access(p, os.R_OK)"),
                         [False, True])
        self.assertEqual(self.a("result = os.statvfs('/data/lib').f_flag & os.ST_RDONLY"), os.ST_RDONLY)

    def test_files_that_say_no_size(self):
        self.serve("a", 8081, cri.Mount(host_path="/proc/sys/kernel", container_path="/data", readonly=True))
        with open("/proc/sys/kernel/ostype") as file:
            ostype = file.read()
        self.assertEqual(self.a("f = open('/data/ostype'); text = f.read(); f.seek(0); result = text, f.read(), "
                                "os.fstat(f.fileno()).st_size"), [ostype, ostype, 0])

    def test_links_and_other_files(self):
        data, outside = self.volume("data"), self.volume("outside")
        (outside / "secret").write_text("secret")
        (data / "inner").mkdir()
        (data / "inner" / "f").write_text("f")
        (data / "link").symlink_to("inner")
        (data / "up").symlink_to("../outside/secret")
        (data / "absolute").symlink_to(outside / "secret")
        os.mkfifo(data / "fifo", 0o666)
        self.serve("a", 8081, self.mount("data", "/data"))
        self.assertEqual(self.a("result = sorted(os.listdir('/data')), open('/data/link/f').read()"),
                         [["absolute", "inner", "link", "up"], "f"])
        for name in ("up", "absolute", "fifo", "fifo/x"):
            self.assertEqual(self.a(f"open('/data/{name}').read()"), "ENOENT")
        self.assertEqual(self.a("open('/data/fifo', 'w').write('x')"), "EPERM")
        self.assertEqual(self.a("os.mkdir('/data/fifo')"), "EEXIST")
        # While it is looked at.
        for i in range(20):
            (data / "swapped").write_text("file")
            self.assertIn(self.a("result = open('/data/swapped').read()"), ("file",))
            (data / "swapped").unlink()
            os.mkfifo(data / "swapped")
            self.assertEqual(self.a("open('/data/swapped')"), "ENOENT")
            (data / "swapped").unlink()
            (data / "swapped").symlink_to(outside / "secret")
            self.assertEqual(self.a("open('/data/swapped')"), "ENOENT")
            (data / "swapped").unlink()

    def test_large_files(self):
        data = self.volume("data")
        with open(data / "big", "wb") as file:
            for i in range(100):
                file.write(i.to_bytes(4, "little") * (1 << 18))
        self.serve("a", 8081, self.mount("data", "/data", readonly=True))
        self.assertEqual(self.a("""
f = open("/data/big", "rb")
f.seek(70 << 20)
part = f.read(8)
import hashlib
f.seek(0)
digest = hashlib.md5()
while piece := f.read(1 << 20): digest.update(piece)
whole = digest.hexdigest()
f.seek(0)
result = part.hex(), whole, len(f.read(90 << 20)), os.path.getsize("/data/big")
"""), ["4600000046000000", hashlib.md5((data / "big").read_bytes()).hexdigest(), 90 << 20, 100 << 20])
        # A mapping shows all of it at once: there is no room for that.
        self.assertEqual(self.a("import mmap; f = open('/data/big'); mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)"), "ENOMEM")
        with open(data / "big", "r+b") as file:
            file.truncate(20 << 20)
        for _ in range(10):  # 200 MB, were it not given back
            self.assertEqual(self.a("import mmap\nwith open('/data/big') as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:\n"
                                    "    result = m[19 << 20], len(m)"), [19, 20 << 20])

    def test_many_files(self):
        data = self.volume("data")
        for i in range(5000):
            (data / f"f{i}").write_text(str(i))
        self.serve("a", 8081, self.mount("data", "/data"))
        self.assertEqual(self.a("names = os.listdir('/data'); result = len(names), len(set(names)), open('/data/f4321').read()"),
                         [5000, 5000, "4321"])
        # Each has something of it here, until there is no room for that.
        self.assertEqual(self.a("kept['all'] = [open(f'/data/f{i}') for i in range(500)]; "
                                "result = sum(int(f.read()) for f in kept['all'])"), sum(range(500)))
        self.assertEqual(self.a("more = [open(f'/data/f{i}') for i in range(500, 520)]"), "ENFILE")
        self.a("kept.clear()")
        self.assertEqual(self.a("result = sum(int(open(e.path).read()) for e in os.scandir('/data'))"), sum(range(5000)))

    def test_names_come_and_go(self):
        """Of more names than the kernel of the guest could remember."""
        self.volume("data")
        self.serve("a", 8081, self.mount("data", "/data"))
        for turn in range(10):
            self.assertEqual(self.a(f"""
for i in range(10_000):
    assert not os.path.exists(f"/data/none-{turn}-{{i}}")
for i in range(2_000):
    name = f"/data/made-{turn}-{{i}}"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY)); os.unlink(name)
result = os.listdir("/data")
"""), [])

    def test_programs_of_exec(self):
        data = self.volume("data")
        (data / "f").write_text("before")
        container = self.serve("a", 8081, self.mount("data", "/data"))
        self.assertEqual(self.a("kept['f'] = open('/data/f'); result = kept['f'].read(2)"), "be")
        (data / "f").write_text("after")
        (data / "big").write_bytes(b"x" * 300_000)
        done = self.client.ExecSync(container_id=container, cmd=["cat", "/data/f"])
        self.assertEqual((done.exit_code, done.stdout), (0, b"after"), done.stderr)
        done = self.client.ExecSync(container_id=container, cmd=["ls", "/data"])
        self.assertEqual((done.exit_code, done.stdout.split()), (0, [b"big", b"f"]), done.stderr)
        done = self.client.ExecSync(container_id=container, cmd=["python3", "-c",
                                    "print(len(open('/data/big').read()))\nopen('/data/new', 'w')"])
        self.assertEqual(done.stdout, b"300000\n")
        self.assertIn(b"Read-only file system", done.stderr)
        done = self.client.ExecSync(container_id=container, cmd=["python3", "-c",
            "import os; s = os.statvfs('/data'); print(os.access('/data/f', os.R_OK), os.access('/data/f', os.W_OK), "
            "s.f_blocks, s.f_flag & os.ST_RDONLY)"])
        self.assertEqual(done.stdout.decode(), f"True False {os.statvfs(data).f_blocks} 1\n", done.stderr)
        (data / "f").write_text("later")
        self.assertEqual(self.a("kept['f'].seek(0); result = open('/data/f').read()"), "later")

    def test_users_may_not_read_everything(self):
        data = self.volume("data")
        (data / "mine").write_text("m")
        (data / "mine").chmod(0o600)
        (data / "theirs").write_text("t")
        (data / "theirs").chmod(0o644)
        (data / "closed").mkdir(mode=0o700)
        self.serve("a", 8081, self.mount("data", "/data"), run_as_user=cri.Int64Value(value=1234))
        for code in ("open('/data/mine')", "open('/data/theirs', 'a')", "os.listdir('/data/closed')",
                     "os.stat('/data/closed/x')"):
            self.assertEqual(self.a(code), "EACCES", code)
        self.assertEqual(self.a("result = open('/data/theirs').read()"), "t")
        may = "result = [os.access('/data/{}', mode) for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)]"
        for name, modes in {"mine": [True, False, False, False], "theirs": [True, True, False, False],
                            "closed": [True, False, False, False], "closed/x": [False] * 4,
                            "": [True, True, True, True]}.items():
            self.assertEqual(self.a(may.format(name)), modes, name)

    def test_root_without_capabilities(self):
        data = self.volume("data")
        (data / "theirs").write_text("t")
        (data / "theirs").chmod(0o600)
        os.chown(data / "theirs", 1234, 1234)
        codes = {"open('/data/theirs')": "EACCES", "os.chmod('/data/theirs', 0o644)": "EPERM"}
        self.serve("a", 8081, self.mount("data", "/data"),
                   capabilities=cri.Capability(drop_capabilities=["ALL"]))
        for code, error in codes.items():
            self.assertEqual(self.a(code), error, code)
        self.assertEqual(self.a("result = os.access('/data/theirs', os.R_OK), os.access('/data', os.R_OK)"), [False, True])
        self.assertEqual(self.a("open('/data/own', 'w').write('o'); result = open('/data/own').read()"), "o")
        self.serve("b", 8082, self.mount("data", "/data"),
                   capabilities=cri.Capability(drop_capabilities=["cap_dac_override"]))
        self.assertEqual(self.b("open('/data/theirs')"), "EACCES")
        self.assertEqual(self.b("os.chmod('/data/theirs', 0o644); result = open('/data/theirs').read()"), "t")

    def test_users_own_what_they_make(self):
        data = self.volume("data")
        data.chmod(0o777)
        (data / "shared").write_text("s")
        (data / "shared").chmod(0o666)
        self.serve("a", 8081, self.mount("data", "/data"), run_as_user=cri.Int64Value(value=1234))
        # A mode that would not let its owner open it.
        self.assertEqual(self.a("f = os.open('/data/once', os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o400); "
                                "os.write(f, b'1'); os.close(f)"), None)
        self.assertEqual((data / "once").read_text(), "1")
        self.assertEqual(self.a("open('/data/once', 'w')"), "EACCES")
        self.assertEqual(self.a("os.chmod('/data/once', 0); os.utime('/data/once', (5, 5)); os.chmod('/data/once', 0o200)"), None)
        self.assertEqual(((data / "once").stat().st_mode & 0o777, (data / "once").stat().st_mtime), (0o200, 5))
        # Who may write a file may set its time to now, nothing else.
        os.utime(data / "shared", (5, 5))
        self.assertEqual(self.a("os.utime('/data/shared', (7, 7))"), "EPERM")
        self.assertEqual(self.a("os.utime('/data/shared')"), None)
        self.assertGreater((data / "shared").stat().st_mtime, 1000)
        self.assertEqual(self.a("""
os.makedirs('/data/from'); os.symlink('nowhere', '/data/from/link')
shutil.copytree('/data/from', '/data/to', symlinks=True)
result = os.readlink('/data/to/link')"""), "nowhere")


if __name__ == "__main__":
    unittest.main()
