"""Files that USFs share: what a function writes is its own, what it only maps is nobody's copy."""

import hashlib
import json
import os
import pathlib
import re
import threading
import unittest

from node import NodeCase
from test_traffic import Server, ok

SHARED = "/usr/lib/python3.11/this.py"  # of a pack
LARGE = "/usr/bin/python3.11"  # of a pack, 6 MB
# Asks before it goes on: each URL is a step of the test.
WRITE = f"""
import os, usetl
def handler(event, c):
    path = {SHARED!r}
    old = open(path, "rb").read()
    with open(path, "ab") as file:
        file.write(b"written")
    with open(path, "r+b") as file:
        file.write(b"WRITTEN")
    new = open(path, "rb").read()
    usetl.get(event + "/written")
    os.rename(path, path + ".old")
    os.unlink(path + ".old")
    return [old.decode(), new.decode(), os.path.exists(path)]
"""
READ = f"def handler(e, c):\n return open({SHARED!r}).read()\n"
# Its own file, and the body of an answer, which nobody may write: both are in the host region, which is mapped here.
HOST_REGION = """
import mmap, os, usetl
first, last = b"#MI" + b"NE", b"#en" + b"d"  # whole only in what is written
def handler(url, c):
    with open("/dev/usetl/host", "rb") as file:
        region = mmap.mmap(file.fileno(), os.fstat(file.fileno()).st_size, mmap.MAP_SHARED, mmap.PROT_READ)
    source, answer = open(__file__, "rb").read(), usetl.get(url)
    body = bytes(answer.body)
    places = [region.find(source), region.find(body)]
    assert min(places) > 0, places
    with open(__file__, "r+b") as file:
        file.write(first)
        file.seek(0, os.SEEK_END)
        file.write(last)
    assert open(__file__, "rb").read() == first + source[len(first):] + last
    for mode in ("r+b", "wb", "ab"):
        try:
            open(answer.path, mode)
        except PermissionError:
            continue
        raise AssertionError(mode)
    assert places == [region.find(source), region.find(body)] and answer.body == body
    return [region.find(first), region.find(last)]
"""
MAP = f"""
import mmap, os, usetl
def handler(event, c):
    with open({LARGE!r}, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        size = os.fstat(file.fileno()).st_size
    usetl.get(event + "/mapped")
    touched = sum(mapped[at] for at in range(0, size, 4096))
    usetl.get(event + "/touched")
    return [size, touched]
"""


class SharedFiles(NodeCase):
    def serve(self, steps: dict) -> str:
        """Answers /NAME once steps["/NAME"]() is done."""
        def answer(head, body):
            steps[head.split(b" ")[1].decode()]()
            return ok(b"body of an answer")

        server = Server(answer)
        self.addCleanup(server.close)
        return f"http://127.0.0.1:{server.port}"

    def call(self, code: str, origin: str):
        done = self.node.run(code, "--allow", origin, "--event", json.dumps(origin))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def packs(self) -> dict[str, str]:
        runtime = pathlib.Path(os.environ["USETL_RUNTIMES"]) / "python3.11"
        return {pack.name: hashlib.sha256(pack.read_bytes()).hexdigest() for pack in runtime.glob("*.pack")}

    def read(self) -> str:
        return json.loads(self.node.run(READ).stdout)

    def test_what_is_written_to_a_pack_is_the_functions_own(self):
        packs, original = self.packs(), self.read()
        seen, results = [], []
        written, go_on = threading.Event(), threading.Event()

        def wait():
            written.set()
            go_on.wait(60)

        origin = self.serve({"/written": wait})
        writer = threading.Thread(target=lambda: results.append(self.call(WRITE, origin)))
        writer.start()
        self.assertTrue(written.wait(60))
        try:
            seen.append(self.read())  # by another USF, meanwhile
        finally:
            go_on.set()
            writer.join()
        self.assertEqual(results, [[original, "WRITTEN" + original[7:] + "written", False]])
        seen += [self.read() for _ in range(3)]  # by the same one, too
        self.assertEqual(seen, [original] * 4)
        self.assertEqual(self.packs(), packs)

    def test_what_is_written_to_the_host_region_is_the_functions_own(self):
        self.assertEqual(self.call(HOST_REGION, self.serve({"/": lambda: None})), [-1, -1])
        self.assertEqual((pathlib.Path(self.node.directory) / "function.py").read_text(), HOST_REGION)

    def test_a_mapped_file_of_a_pack_is_no_copy(self):
        memory = []

        def look():
            [pid] = [usf["pid"] for usf in json.loads(self.node.usetl("inspect").stdout)["usfs"]
                     if usf["state"] == "claimed"]
            smaps = pathlib.Path(f"/proc/{pid}/smaps").read_text()
            of_packs = re.findall(r"layer-\d+\.pack\n(?:\w+:.*\n)*", smaps)
            memory.append([sum(int(kb) for kb in re.findall(rf"(?m)^{name}: +(\d+) kB", text))
                           for name, text in (("Anonymous", smaps), ("Rss", "".join(of_packs)),
                                              ("Anonymous", "".join(of_packs)), ("Private_Dirty", "".join(of_packs)))])

        size, touched = self.call(MAP, self.serve({"/mapped": look, "/touched": look}))
        self.assertGreater(touched, 0)
        (own_before, packs_before, *_), (own_after, packs_after, *copies) = memory
        self.assertLess((own_after - own_before) << 10, size // 8)
        self.assertGreater(packs_after, packs_before)  # read from there
        self.assertEqual(copies, [0, 0])


if __name__ == "__main__":
    unittest.main()
