"""The network that both sides attach pods to, and its plugins run by hand."""

import ctypes
import json
import os
import pathlib
import threading
import time

PLUGINS = "/usr/lib/cni"
_CLONE_NEWNET = 0x40000000


class Bridge:
    """A bridge in the bench's own network namespace, which goes with it. Below `directory` lies what the plugins
    are told and what they keep."""

    def __init__(self, directory: pathlib.Path):
        self.directory, self.configuration = directory, directory / "conf"
        self.configuration.mkdir()
        self.plugin = {"type": "bridge", "bridge": "usetl-bench", "isGateway": True,
                       "ipam": {"type": "host-local", "subnet": "10.98.0.0/16", "dataDir": f"{directory}/leases"}}
        self.common = {"cniVersion": "0.4.0", "name": "bench"}
        (self.configuration / "10-bench.conflist").write_text(json.dumps({**self.common, "plugins": [self.plugin]}))
        self.input = directory / "input.json"
        self.input.write_text(json.dumps({**self.common, **self.plugin}))

    def _execute(self, verb: str, name: str, namespace: str) -> None:
        path, said = f"{PLUGINS}/{self.plugin['type']}", str(self.directory / "said")
        environment = {"CNI_COMMAND": verb, "CNI_CONTAINERID": name, "CNI_NETNS": namespace, "CNI_IFNAME": "eth0",
                       "CNI_PATH": PLUGINS, "PATH": os.environ["PATH"]}
        plugin = os.posix_spawn(path, [path], environment, file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, str(self.input), os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)])
        if os.waitpid(plugin, 0)[1] != 0:
            raise RuntimeError(f"{path} {verb}: {pathlib.Path(said).read_text()}")

    def attach_by_hand(self, name: str) -> float:
        """Attaches a new network namespace and detaches it again: the milliseconds of ADD."""
        ready, done, paths = threading.Event(), threading.Event(), []

        def hold() -> None:
            if ctypes.CDLL(None).unshare(_CLONE_NEWNET) == 0:
                paths.append(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net")
            ready.set()
            done.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        ready.wait()
        try:
            if not paths:
                raise RuntimeError("cannot make a network namespace")
            begin = time.perf_counter()
            self._execute("ADD", name, paths[0])
            took = (time.perf_counter() - begin) * 1e3
            self._execute("DEL", name, paths[0])
            return took
        finally:
            done.set()
            thread.join()
