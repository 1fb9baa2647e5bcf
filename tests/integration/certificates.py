"""Certificates of an authority of the tests' own."""

import pathlib
import subprocess


class Authority:
    """`file` is what its clients are to trust."""

    def __init__(self, directory: str):
        self.directory = pathlib.Path(directory)
        self.file = self.directory / "ca.pem"
        self._new("ca", "/CN=test authority", "-x509", "-days", "100")

    def issue(self, name: str, host: str, days: int = 10) -> tuple[str, str]:
        """Files of a server's certificate and key, for `host` ("IP:127.0.0.1"); fewer than no days: it has expired."""
        self._new(name, "/CN=server")
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={host}\n")
        self._openssl("x509", "-req", "-in", f"{name}.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", str(days), "-extfile", extensions.name, "-out", f"{name}.pem")
        return str(self.directory / f"{name}.pem"), str(self.directory / f"{name}.key")

    def _new(self, name: str, subject: str, *options: str) -> None:
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                      "-keyout", f"{name}.key", "-out", f"{name}.pem", *options)

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
