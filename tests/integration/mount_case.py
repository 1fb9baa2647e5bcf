"""Containers that run a script on mounts of this host: what their tests share."""

import pathlib
import tempfile

from cri import cri
from cri_case import CriCase

SCRIPT = """
import errno, os, pathlib, sys
def refused(error, *acts):
    for number, act in enumerate(acts):
        try:
            act()
        except OSError as raised:
            assert raised.errno == error, (number, raised)
        else:
            raise SystemExit(f"act {number} was not refused")
exec(os.environ["CODE"])
"""


class MountCase(CriCase):
    def setUp(self):
        super().setUp()
        self.host = pathlib.Path(tempfile.mkdtemp(prefix="usetl-mounts-", dir=self.directory))
        self.host.chmod(0o755)

    def mount(self, name: str, path: str, readonly: bool = False) -> "cri.Mount":
        return cri.Mount(container_path=path, host_path=str(self.host / name), readonly=readonly)

    def volume(self, name: str, mode: int = 0o777) -> pathlib.Path:
        path = self.host / name
        path.mkdir()
        path.chmod(mode)
        return path

    def run_code(self, code: str, mounts: list, name: str = "job", **context) -> "cri.ContainerStatus":
        """A script that runs `code`, to its end; fails the test when that fails, with its log. Within,
        `refused(errno.EROFS, act...)` wants each act to fail with that error."""
        security = cri.LinuxContainerSecurityContext(**context)
        code_mount = self.host / "code.py"
        code_mount.write_text(SCRIPT)
        if not hasattr(self, "pod_id"):
            self.pod_id = self.run_pod()
        container = self.run_container(
            self.pod_id, name, command=["python3", "/code/code.py"],
            envs=[cri.KeyValue(key="CODE", value=code.encode())],
            mounts=[*mounts, self.mount("code.py", "/code/code.py", readonly=True)],
            linux=cri.LinuxContainerConfig(security_context=security))
        status = self.wait_exited(container)
        self.assertEqual(status.exit_code, 0, pathlib.Path(status.log_path).read_text())
        return status
