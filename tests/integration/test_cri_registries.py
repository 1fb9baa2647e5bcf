"""What usetld is told of registries: mirrors, hosts without TLS, certificates, images that stay."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

import grpc
from cri import Client, cri
from cri_case import CriCase
from image_store_case import Store, command
from node import Node, start_daemon
from registry import FakeImage, FakeRegistry, tar

Code = grpc.StatusCode
LAN = "198.51.100.7"  # of this machine, but not loopback's
SECRET = "https://me:secret@mirror.invalid"


def spec(name: str) -> "cri.ImageSpec":
    return cri.ImageSpec(image=name)


class Registries(CriCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        subprocess.run(["ip", "address", "add", f"{LAN}/32", "dev", "lo"], check=True)
        cls.addClassCleanup(subprocess.run, ["ip", "address", "del", f"{LAN}/32", "dev", "lo"], check=True)
        keys = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, keys)
        command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", keys / "key", "-out", keys / "ca", "-days", "2", "-subj", "/CN=test",
                "-addext", f"subjectAltName=IP:{LAN}")
        image = FakeImage(tar(("a", b"x")))
        cls.plain, cls.private = FakeRegistry(image, address=LAN), FakeRegistry(image, address=LAN,
                                                                                 tls=(keys / "ca", keys / "key"))
        cls.addClassCleanup(cls.plain.close)
        cls.addClassCleanup(cls.private.close)
        cls.ca = str(keys / "ca")

    def restart(self, *options: str) -> None:
        self.usetld.terminate()
        self.usetld.wait()
        self.client.close()
        self.OPTIONS = options
        self.start()

    def pull(self, name: str) -> "cri.Image":
        self.client.PullImage(image=spec(name))
        self.addCleanup(self.node.usetl, "image", "rm", name)
        return self.client.ImageStatus(image=spec(name)).image

    def test_plain_http(self):
        name = f"{self.plain.host}/a/b:1"
        self.restart("--registry-insecure", "other.lan:5000", "--registry-insecure", self.plain.host)
        self.assertEqual(list(self.pull(name).repo_tags), [name])

        # A mirror without TLS has to be named too.
        mirror = f"registry.invalid=http://{self.plain.host}"
        self.restart("--registry-mirror", mirror)
        self.assert_fails(Code.UNAVAILABLE, "plain http is for loopback and for hosts that are named insecure",
                          self.client.PullImage, image=spec("registry.invalid/a/b:1"))
        self.restart("--registry-mirror", mirror, "--registry-insecure", self.plain.host)
        self.assertIn("registry.invalid/a/b:1", self.pull("registry.invalid/a/b:1").repo_tags)

    def test_certificates(self):
        name = f"{self.private.host}/a/b:1"
        self.restart()
        self.assert_fails(Code.UNAVAILABLE, "certificate", self.client.PullImage, image=spec(name))
        self.restart("--registry-ca", self.ca, "--registry-mirror", f"registry.invalid=https://{self.private.host}/")
        for pulled in (name, "registry.invalid/a/b:1"):
            self.assertIn(pulled, self.pull(pulled).repo_tags)

    def test_pinned(self):
        stays, goes = f"{self.plain.host}/a/b:1", "localhost/function:1"
        self.restart("--registry-insecure", self.plain.host, "--pinned", stays)
        self.assertTrue(self.pull(stays).pinned)
        self.assertEqual({tag: image.pinned for image in self.client.ListImages().images for tag in image.repo_tags},
                         {stays: True, goes: False})
        # kubelet passes by what is pinned; who asks by name means it.
        self.client.RemoveImage(image=spec(stays))
        self.assertFalse(self.client.ImageStatus(image=spec(stays)).HasField("image"))

    def test_refused_options(self):
        for options, why in (
                (("--registry-mirror", f"docker.io={SECRET}"), "mirror of docker.io wants an http or https URL without user"),
                (("--registry-mirror", "docker.io=mirror.lan"), "wants an http or https URL"),
                (("--registry-mirror", f"{SECRET}"), "DOMAIN=URL"),
                (("--registry-mirror", "docker=https://mirror.lan"), "no registry's domain"),
                (("--registry-insecure", "http://registry.lan"), "without a scheme"),
                (("--registry-ca", "/nowhere/ca"), "/nowhere/ca: No such file"),
                (("--pinned", "No Name"), "pinned image")):
            with self.subTest(options):
                daemon, said = start_daemon(self, "usetld", "--socket", f"{self.directory}/other.sock",
                                            "--images", f"{self.directory}/images",
                                            "--state", f"{self.directory}/other", "--no-network", *options)
                self.assertIn(why, said)
                self.assertNotIn("secret", said)
                self.assertNotEqual(daemon.wait(60), 0)

    def test_usetl_image(self):
        said = Store(self).pull("registry.invalid/a/b:1", "--mirror", f"registry.invalid={SECRET}", status=1)
        self.assertIn("the mirror of registry.invalid wants", said)
        self.assertNotIn("secret", said)

    def test_usetl_up(self):
        node = Node("--cri", "--no-network", "--registry-insecure", self.plain.host,
                    "--registry-mirror", f"registry.invalid=https://{self.private.host}", "--registry-ca", self.ca,
                    "--pinned", "registry.invalid/a/b:1", "--pinned", "localhost/pause")
        self.addCleanup(node.close)
        client = Client(f"{node.directory}/usetl.sock")
        self.addCleanup(client.close)
        for name, pinned in ((f"{self.plain.host}/a/b:1", False), ("registry.invalid/a/b:1", True)):
            client.PullImage(image=spec(name))
            self.assertEqual(client.ImageStatus(image=spec(name)).image.pinned, pinned)
        alone = node.usetl("up", "--pinned", "localhost/pause")
        self.assertEqual(alone.returncode, 2)
        self.assertIn("--cri", alone.stderr)


if __name__ == "__main__":
    unittest.main()
