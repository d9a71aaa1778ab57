"""Loads the component: compiled once, then from a cache of machine code."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
import threading
import time
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import wasmtime
from wasmtime import component as wasm

from .errors import CatenaError

#: The interface of the contract.
INTERFACE = "catena:pipeline/correlation@1.0.0"

#: The interval between epochs, in seconds: the resolution of the limit on a call's duration.
EPOCH = 0.01


class Component:
    """A compiled component, from which correlators are opened. It can be shared by threads.

    Compilation takes about a second. The machine code is kept in a cache, from which it loads in milliseconds.
    """

    def __init__(self, wasm_bytes: bytes | None = None, *, cache: Path | str | None | bool = True) -> None:
        """Compiles a component: the built-in one, or ``wasm_bytes``.

        ``cache`` is the folder of the cache: ``True`` for the user's (``$XDG_CACHE_HOME/catena``), ``None`` or ``False`` for
        no cache. What is in it is run unchecked, so the folder is made for its owner alone, and one that others can write to
        is not used.
        """
        if wasm_bytes is None:
            wasm_bytes = built_in()
        config = wasmtime.Config()
        config.epoch_interruption = True
        self.engine = wasmtime.Engine(config)
        #: Whether the machine code came from the cache.
        self.from_cache = False
        folder = _user_cache() if cache is True else Path(cache) if cache else None
        self._compiled = self._load(wasm_bytes, folder)
        self._indices: dict[str, Any] = {}
        self._epochs = _Epochs(self.engine)

    def _load(self, wasm_bytes: bytes, folder: Path | None) -> wasm.Component:
        try:
            if folder is None or not _is_private(folder):
                return wasm.Component(self.engine, wasm_bytes)
            file = folder / (_key(wasm_bytes) + ".cwasm")
            try:
                compiled = wasm.Component.deserialize_file(self.engine, str(file))
                self.from_cache = True
                return compiled
            except wasmtime.WasmtimeError:
                compiled = wasm.Component(self.engine, wasm_bytes)
                _write(file, bytes(compiled.serialize()))
                return compiled
        except wasmtime.WasmtimeError as error:
            raise CatenaError(f"the component cannot be loaded: {error}") from error

    def instantiate(self, store: wasmtime.Store) -> Any:
        """Makes an instance in a store. A component with imports is refused: nothing is linked."""
        try:
            return wasm.Linker(self.engine).instantiate(store, self._compiled)
        except wasmtime.WasmtimeError as error:
            raise CatenaError(f"the component cannot be loaded: {error}") from error

    def describe(self) -> str:
        """What the component says of itself: one JSON object, see ``describe`` in the contract."""
        store = wasmtime.Store(self.engine)
        store.set_epoch_deadline(int(10 / EPOCH))
        text = export(store, self.instantiate(store), "describe")(store)
        assert isinstance(text, str)
        return text


def built_in() -> bytes:
    """The component that this package contains. ``$CATENA_COMPONENT`` names another file."""
    named = os.environ.get("CATENA_COMPONENT")
    try:
        if named:
            return Path(named).read_bytes()
        return (resources.files(__package__) / "catena.wasm").read_bytes()
    except OSError as error:
        raise CatenaError(f"the component cannot be read: {error}; in a source tree, run scripts/hosts") from error


def export(store: wasmtime.Store, instance: Any, name: str) -> Any:
    """A function of the interface."""
    interface = instance.get_export_index(store, INTERFACE)
    index = interface and instance.get_export_index(store, name, interface)
    function = index and instance.get_func(store, index)
    if function is None:
        raise CatenaError(f"the component cannot be loaded: it does not export {name} of {INTERFACE}")
    return function


_shared: Component | None = None
_sharing = threading.Lock()


def shared() -> Component:
    """The built-in component, compiled once a process."""
    global _shared
    with _sharing:
        if _shared is None:
            _shared = Component()
        return _shared


class _Epochs:
    """Advances the engine's epoch in a thread of its own, for as long as calls are made."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._calls = 0
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._calls += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="catena-epochs", daemon=True)
                self._thread.start()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._calls -= 1

    def _run(self) -> None:
        idle = 0
        while True:
            time.sleep(EPOCH)
            with self._lock:
                idle = 0 if self._calls else idle + 1
                if idle > 100:
                    self._thread = None
                    return
            self._engine.increment_epoch()


def _user_cache() -> Path:
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    else:
        root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "catena"


def _is_private(folder: Path) -> bool:
    """Makes the folder; false if it cannot be made or others can write to it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid == os.getuid() and status.st_mode & 0o022 == 0


def _key(wasm_bytes: bytes) -> str:
    runtime = f"{metadata.version('wasmtime')}-{platform.machine()}-{sys.platform}"
    return f"{hashlib.sha256(wasm_bytes).hexdigest()[:32]}-{runtime}"


def _write(file: Path, code: bytes) -> None:
    """Writes a whole file or none. A cache that cannot be written costs time, nothing else."""
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as new:
            new.write(code)
        os.replace(new.name, file)
    except OSError:
        pass
