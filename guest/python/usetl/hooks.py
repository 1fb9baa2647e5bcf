"""Hooks around the snapshot, with the names and the order of AWS's snapshot-restore-py.

For modules that are imported before the snapshot: what a function registers goes with its rollback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_Hook = Callable[..., Any]
_F = TypeVar("_F", bound=_Hook)
_Call = tuple[_Hook, tuple[Any, ...], dict[str, Any]]

_before_snapshot: list[_Call] = []
_after_restore: list[_Call] = []


def register_before_snapshot(func: _F, *args: Any, **kwargs: Any) -> _F:
    """Calls `func` before memory is saved; the last one registered runs first."""
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func: _F, *args: Any, **kwargs: Any) -> _F:
    """Calls `func` after every restore, before anything is served, in order of registration."""
    _after_restore.append((func, args, kwargs))
    return func


def run_before_snapshot() -> None:
    for func, args, kwargs in reversed(_before_snapshot):
        func(*args, **kwargs)


def run_after_restore() -> None:
    for func, args, kwargs in _after_restore:
        func(*args, **kwargs)
