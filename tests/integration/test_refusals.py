"""Machines and runtimes that will not do: one line says what is missing and what to do."""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from node import BUILD

RUNTIME = pathlib.Path(os.environ["USETL_RUNTIMES"]) / "python3.11"
HEADER = 4096  # of a snapshot file: magic, size, checksum
CONTROL_OFFSET, CLOCK = 48, 64  # where SnapshotIndex::control_offset stands, and HostPage::clock

# A /dev of its own, with nothing but what the lines after it make.
EMPTY_DEV = ("mount -t tmpfs -o mode=755 tmpfs /dev && mknod -m 666 /dev/null c 1 3 && "
             "mknod -m 666 /dev/zero c 1 5 && mknod -m 666 /dev/urandom c 1 9 && mkdir -m 1777 /dev/shm")
MAKE_KVM = "mknod -m 600 /dev/kvm c 10 232"


class Foreign(unittest.TestCase):
    """Snapshots that were sound where they were baked."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="usetl-test-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.runtimes = pathlib.Path(self.directory) / "runtimes"
        shutil.copytree(RUNTIME, self.runtimes / "python3.11")
        self.function = pathlib.Path(self.directory) / "f.py"
        self.function.write_text("def handler(e, c):\n return 1\n")

    def change_snapshot(self, change) -> None:
        path = self.runtimes / "python3.11" / "snapshot"
        data = bytearray(path.read_bytes())
        body = data[HEADER:]
        change(body)
        data[HEADER:] = body
        data[24:56] = hashlib.sha256(body).digest()
        path.write_bytes(data)

    def refused(self, change) -> str:
        self.change_snapshot(change)
        return self.run_refused()

    def run_refused(self) -> str:
        done = subprocess.run([BUILD / "usetl", "run", self.function, "--runtimes", self.runtimes, "--node",
                               self.directory], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout), (125, ""), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        doctor = subprocess.run([BUILD / "usetl", "doctor", "--runtimes", self.runtimes], capture_output=True,
                                text=True, timeout=60, check=False)
        self.assertEqual(doctor.returncode, 1)
        self.assertRegex(doctor.stdout, r"(?m)^BAD .*python3\.11.*bake")
        return done.stderr

    @staticmethod
    def fingerprint(body: bytearray) -> int:
        return re.search(rb"0\.0:[0-9a-f]{32};", body).start()

    def test_unchanged_it_works(self):
        done = subprocess.run([BUILD / "usetl", "run", self.function, "--runtimes", self.runtimes, "--node",
                               self.directory], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, "1\n"), done.stderr)

    def test_another_boot(self):
        # Then the counter of the processor was ahead, or behind, and the clock as well.
        def change(body):
            clock = int.from_bytes(body[CONTROL_OFFSET:CONTROL_OFFSET + 8], "little") + CLOCK + 8
            for at in (clock, clock + 8):
                ticks = int.from_bytes(body[at:at + 8], "little") + (1 << 44)
                body[at:at + 8] = ticks.to_bytes(8, "little")
        self.change_snapshot(change)
        self.function.write_text("import time\ndef handler(e, c):\n time.sleep(0.01)\n return time.monotonic()\n")
        done = subprocess.run([BUILD / "usetl", "run", self.function, "--runtimes", self.runtimes, "--node",
                               self.directory, "--timeout", "30s"], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False)
        own_node = f"no node in {self.directory}: this command brings up one of its own\n"
        self.assertEqual((done.returncode, done.stderr), (0, own_node))
        self.assertAlmostEqual(float(done.stdout), time.monotonic(), delta=60)

    def test_another_cpu(self):
        def change(body):
            at = self.fingerprint(body) + 4
            body[at:at + 1] = b"f" if body[at:at + 1] != b"f" else b"e"
        self.assertIn("baked on another CPU model; bake the runtime again here", self.refused(change))

    def test_another_guest_kernel(self):
        def change(body):
            body[self.fingerprint(body) - 1] ^= 1  # the last byte of the kernel's digest
        self.assertIn("baked with another guest kernel; bake the runtime again", self.refused(change))

    def test_another_abi_version(self):
        def change(body):
            body[8] += 1
        self.assertRegex(self.refused(change), "baked by another version; bake the runtime again")

    def test_another_image(self):
        # Another layer in its place: sound by itself, not what the snapshot was taken from.
        layers = self.runtimes / "python3.11"
        shutil.copy(layers / "layer-1.pack", layers / "layer-0.pack")
        self.assertIn("baked from another image; bake the runtime again", self.run_refused())

    def test_a_layer_is_missing(self):
        (self.runtimes / "python3.11" / "layer-1.pack").unlink()
        self.assertIn("bake the runtime again", self.run_refused())


class Machines(unittest.TestCase):
    """Namespaces that look like machines without KVM, or users without rights."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="usetl-test-")
        self.addCleanup(shutil.rmtree, self.directory)
        os.chmod(self.directory, 0o777)
        self.function = pathlib.Path(self.directory) / "f.py"
        self.function.write_text("def handler(e, c):\n return 1\n")

    def usetl(self, prepare: str, *arguments, as_nobody: bool = False) -> subprocess.CompletedProcess:
        user = "setpriv --reuid 65534 --regid 65534 --clear-groups " if as_nobody else ""
        return subprocess.run(["unshare", "--mount", "--", "sh", "-c", f'{prepare} && exec {user}"$@"', "sh",
                               BUILD / "usetl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)

    def run_refused(self, prepare: str, *expected: str, **options) -> None:
        for command in (("run", self.function, "--node", self.directory), ("up", "--node", self.directory)):
            done = self.usetl(prepare, *command, **options)
            self.assertEqual(done.returncode, 125 if command[0] == "run" else 1, done.stderr)
            self.assertTrue(done.stderr.startswith("usetl: "), done.stderr)
            for text in expected:
                self.assertIn(text, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def doctor(self, prepare: str, *expected: str, **options) -> None:
        done = self.usetl(prepare, "doctor", **options)
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        for text in expected:
            self.assertIn(text, done.stdout)

    def test_no_kvm(self):
        self.run_refused(EMPTY_DEV, "/dev/kvm", "No such file", "usetl doctor")
        self.doctor(EMPTY_DEV, "BAD  /dev/kvm: No such file or directory - ", "--device /dev/kvm")

    def test_bake_without_kvm(self):
        done = self.usetl(EMPTY_DEV, "bake", BUILD / "rootfs", "--runtimes", self.directory)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/dev/kvm", done.stderr)
        self.assertEqual(os.listdir(self.directory), ["f.py"])

    def test_no_permission_for_kvm(self):
        prepare = f"{EMPTY_DEV} && {MAKE_KVM}"
        self.run_refused(prepare, "/dev/kvm", "Permission denied", "usetl doctor", as_nobody=True)
        self.doctor(prepare, "BAD  running as root - ", "BAD  /dev/kvm: Permission denied - use sudo", as_nobody=True)

    def test_an_ordinary_user_who_may_use_kvm(self):
        prepare = f"{EMPTY_DEV} && {MAKE_KVM} && chmod 666 /dev/kvm"
        self.run_refused(prepare, "root", as_nobody=True)
        self.doctor(prepare, "BAD  running as root", "ok   /dev/kvm", as_nobody=True)

    def test_not_kvm_at_all(self):
        self.doctor(f"{EMPTY_DEV} && ln /dev/null /dev/kvm", "BAD  /dev/kvm: does not speak")

    def test_few_open_files(self):
        self.doctor("ulimit -n 40", "BAD  40 open files, enough for 5 USFs - raise the limit: ulimit -n")

    def test_no_runtime(self):
        done = self.usetl("true", "doctor", "--runtimes", self.directory)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"BAD  no runtime python3.11 in {self.directory} - usetl bake", done.stdout)
        self.assertTrue(done.stdout.endswith("1 thing to mend.\n"), done.stdout)

    def test_what_pods_need(self):
        configured = "mkdir -p /etc/cni/net.d && touch /etc/cni/net.d/a.conflist"
        equipped = f"{configured} && mkdir -p /opt/cni/bin && touch /opt/cni/bin/bridge"
        no_configuration = "note no network configuration in /etc/cni/net.d: .*usetl up --cri --no-network"
        no_plugins = "note no network plugins in /opt/cni/bin or /usr/lib/cni: .*usetl up --cri --no-network"
        no_crictl = "note no crictl: usetl run --pod POD.yaml .*"
        with_crictl = "touch /opt/crictl && chmod 755 /opt/crictl && PATH=/opt"
        for prepare, *expected in (("PATH=/none", no_configuration, no_crictl),
                                   (f"{configured} && PATH=/none:", no_plugins, no_crictl),
                                   (f"{equipped} && PATH=", no_crictl), (f"{equipped} && {with_crictl}",)):
            with self.subTest(prepare=prepare):
                empty = " && ".join(f"mount -t tmpfs none {path}" for path in ("/etc", "/opt", "/usr/lib/cni"))
                done = self.usetl(f"{empty} && {prepare}", "doctor")
                self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
                notes = [line for line in done.stdout.splitlines() if line.startswith("note no ")]
                self.assertEqual(len([line for line in notes if "VMX" not in line]), len(expected), notes)
                for line, text in zip([line for line in notes if "VMX" not in line], expected):
                    self.assertRegex(line, f"^{text}")

    def test_this_machine_will_do(self):
        done = self.usetl("true", "doctor")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertNotIn("BAD", done.stdout)
        self.assertTrue(done.stdout.endswith("This machine is ready.\n"))


if __name__ == "__main__":
    unittest.main()
