"""What a program finds around itself: variables, working directory, arguments, search path."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from errno import ENOTDIR
from typing import Any, Union

from usetl import _device
from usetl._script import use_stdin
from usetl.errors import UsetlError


def surround(path: str, root: str, order: dict[str, Any]) -> None:
    """Sets up what a kLoad asks for. `root` is the folder of the function, `path` its program."""
    if variables := order.get("env"):
        _set_environment(variables)
    os.chdir(order.get("cwd") or root)
    sys.argv = [path, *(order.get("argv") or ())]
    sys.path.insert(0, root)
    sys.path_importer_cache.pop(root, None)
    if stdin := order.get("stdin"):
        use_stdin(stdin)


def find_mounts(paths: Iterable[str]) -> None:
    """The kernel leaves out what it cannot put into the tree; a function must not run without."""
    for path in paths:
        try:
            if _inode_number(path) != _inode_number(_device.RESULTS):
                continue
            cause = f"it leads to {_device.RESULTS}"
        except OSError as error:
            cause = "a part of the path is a file" if error.errno == ENOTDIR else error.strerror
        raise UsetlError(f"mount {path}: {cause}; mount elsewhere")


def _inode_number(path: str) -> int:
    # Of a mounted directory the host is asked by stat(2), but not by this.
    file = os.open(path, os.O_RDONLY)
    try:
        return os.fstat(file).st_ino
    finally:
        os.close(file)


def _set_environment(variables: dict[str, Union[str, None]]) -> None:
    """Sets and (null) removes variables, with what the interpreter does only at its start."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if paths := variables.get("PYTHONPATH"):
        sys.path[0:0] = [path for path in paths.split(os.pathsep) if path]
    if "TZ" in variables:
        time.tzset()
