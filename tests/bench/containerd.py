"""containerd and runc as a peer: a daemon of its own, with namespaces, state and socket that go with it."""

import pathlib
import shutil
import subprocess
import tempfile

import peer_image
from environment import wait_until

from cri import Client

IMAGE, PAUSE = "localhost/uvicorn:1", "localhost/pause:1"
_NAMESPACE = "k8s.io"  # where its CRI looks for images

# Everything that it writes lies below /run, a tmpfs in its own mount namespace: no disk makes it wait. The plugins
# left out are file systems of other machines, and what keeps directories elsewhere.
_CONFIG = """
version = 2
root = "/run/containerd-root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.native", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{directory}/s"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true  # to lower a score wants CAP_SYS_RESOURCE
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
"""

# The first process of a process namespace: when it is killed, so are all shims and containers, whatever they do.
# CNI keeps what plugins answered in /var/lib/cni.
_INIT = """
mount -t tmpfs -o mode=755 tmpfs /run && mount -t tmpfs -o mode=755 tmpfs /var/lib || exit 1
containerd --config "$1" >"$2" 2>&1 &
wait
"""


def missing() -> list[str]:
    """Packages to install for the peer; empty when it can run."""
    programs = [name for name in ("containerd", "runc") if not shutil.which(name)]
    return programs + peer_image.missing_packages()


class Containerd:
    """Serves the CRI until close(). Its network is the one of whoever makes it."""

    def __init__(self, function: str, networks: pathlib.Path, plugins: str):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="usetl-peer-"))
        (self.directory / "config.toml").write_text(_CONFIG.format(
            directory=self.directory, pause=PAUSE, networks=networks, plugins=plugins))
        self.log = self.directory / "log"
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork",
             "--mount-proc", "--kill-child", "--", "sh", "-c", _INIT, "sh", self.directory / "config.toml", self.log],
            stdin=subprocess.DEVNULL)
        try:
            self._wait_until_it_serves()
            for archive in (peer_image.make_pause(self.directory), peer_image.make_function(self.directory, function)):
                # Named after the archive: NAME:1.
                self._ctr("images", "import", "--base-name", f"localhost/{archive.stem}", archive)
                archive.unlink()
            self.client = Client(f"{self.directory}/s")
            wait_until(lambda: {IMAGE, PAUSE} <= {tag for image in self.client.ListImages().images
                                                  for tag in image.repo_tags})
        except BaseException:
            self._end()
            raise

    def _ctr(self, *arguments) -> None:
        subprocess.run(["ctr", "--address", self.directory / "s", "--namespace", _NAMESPACE, *arguments], check=True,
                       capture_output=True, timeout=120)

    def _wait_until_it_serves(self) -> None:
        def serves() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"containerd ended: {self.log.read_text()}")
            client = Client(f"{self.directory}/s")
            try:
                client.Version()
                return True
            except Exception:  # noqa: BLE001  (not there yet; wait_until bounds how long)
                return False
            finally:
                client.close()

        wait_until(serves, 30)

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory)

    def close(self) -> None:
        """Pods are to be removed before: their cgroups and addresses belong to the machine, not to the daemon."""
        self.client.close()
        self._end()

