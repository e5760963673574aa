"""Loading the modules that declare handlers: `--require` takes a dotted name, a package or a path, several times."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

from pykiq.config.settings import did_you_mean
from pykiq.errors import ConfigError, PykiqError
from pykiq.version import FOLDER

# To say which module was probably meant:
SEARCHED_FILES = 200
SEARCHED_BYTES = 100_000  # of each
SUGGESTED_FILES = 3


class HandlersFailed(PykiqError):
    """A user's module raised while it was loaded. `details` is its traceback, from its first own line on.

    There is none for what pykiq itself refuses: the message says it all.
    """

    def __init__(self, message: str, details: str) -> None:
        super().__init__(message)
        self.details = details


def load_all(specs: Iterable[str], directory: Path, count: Callable[[], int]) -> list[ModuleType]:
    """Load each of `specs`, paths taken from `directory`, which goes to the front of `sys.path`.

    A package that declares no handler itself (`count` does not grow) has all of its modules loaded.

    Raises:
        ConfigError: there is no such module or file; names the nearest one there is.
        HandlersFailed: the module raised.
    """
    _to_front(directory.resolve())
    loaded = []
    for spec in specs:
        before = count()
        module = _load(spec, directory)
        loaded.append(module)
        if count() == before and hasattr(module, "__path__"):
            for name in _inside(module):
                _import(name, spec)
    return loaded


def _load(spec: str, directory: Path) -> ModuleType:
    if spec.endswith(".rb"):
        raise ConfigError(f"--require is {spec}, a Ruby file; expected a Python module or file that declares handlers")
    if spec.endswith(".py") or "/" in spec or spec in {".", ".."}:
        return _load_path((directory / spec).resolve(), spec, directory.resolve())
    if _is_dotted(spec):
        return _import(spec, spec, directory)
    raise ConfigError(f"--require is {spec}; expected a dotted name such as app.handlers, or a path to a .py file")


def _load_path(path: Path, spec: str, directory: Path) -> ModuleType:
    if not path.exists():
        siblings = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
        near = did_you_mean(path.name, siblings) or suggested(directory)
        where = path.parent if path.parent.is_dir() else f"{directory}, nor the folder it would be in"
        raise ConfigError(f"--require is {spec}; no such file or directory in {where}{near}")
    if path.is_dir() and not (path / "__init__.py").is_file():
        dotted = ".".join(path.relative_to(directory).parts) if path.is_relative_to(directory) else ""
        if not _is_dotted(dotted):
            raise ConfigError(f"--require is {spec}, a directory that is no package; expected a package or a .py file")
        return _import(dotted, spec, directory)
    root, name = _rooted(path)
    if not _is_dotted(name) or _is_another(sys.modules.get(name), path):
        # `my-jobs.py`, or `json.py` beside the standard library's: loaded from its file, under a name of its own.
        return _load_file(path, spec)
    _to_front(root)
    return _import(name, spec)


def suggested(directory: Path) -> str:
    """`; did you mean …?` with the files that use pykiq, in `directory` and one folder below; nothing if none does."""
    found = []
    for path in islice((*sorted(directory.glob("*.py")), *sorted(directory.glob("*/*.py"))), SEARCHED_FILES):
        try:
            with path.open("rb") as file:
                if b"pykiq" in file.read(SEARCHED_BYTES):
                    found.append(str(path.relative_to(directory)))
        except OSError:
            continue
    few = ", ".join(found[:SUGGESTED_FILES]) + (" or another" if len(found) > SUGGESTED_FILES else "")
    return f"; did you mean {few}?" if found else ""


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _rooted(path: Path) -> tuple[Path, str]:
    """Where a file's import root is, and its dotted name from there: above the highest package it lies in."""
    parts = [path.stem if path.is_file() else path.name]
    if parts == ["__init__"]:
        path = path.parent
        parts = [path.name]
    root = path.parent
    while (root / "__init__.py").is_file() and root.parent != root:
        parts.insert(0, root.name)
        root = root.parent
    return root, ".".join(parts)


def _is_another(module: ModuleType | None, path: Path) -> bool:
    if module is None:
        return False
    file = path / "__init__.py" if path.is_dir() else path
    there = getattr(module, "__file__", None)
    if there is None:
        return file.exists()
    return Path(there).resolve() != file


def _load_file(path: Path, spec: str) -> ModuleType:
    file = path / "__init__.py" if path.is_dir() else path
    name = "pykiq_required_" + "".join(c if c.isalnum() and c.isascii() else "_" for c in str(file))
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise ConfigError(f"--require is {spec}, which Python cannot load; expected a module or a .py file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _failed(spec, error) from error
    return module


def _import(name: str, spec: str, directory: Path | None = None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        # Only a part of the very name asked for is a wrong --require; any other is an import inside the user's code.
        if name == missing or name.startswith(f"{missing}."):
            near = did_you_mean(name, _candidates(name, directory or Path()))
            raise ConfigError(
                f"--require is {spec}; there is no module {missing} in {Path.cwd()} or on sys.path"
                f"{near or '; give a dotted name or the path of a .py file'}"
            ) from None
        raise _failed(spec, error) from error
    except (Exception, SystemExit) as error:
        raise _failed(spec, error) from error


def _inside(package: ModuleType) -> Iterator[str]:
    """The modules of a package, by name, without its tests and without what runs when loaded."""
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        last = module.name.rpartition(".")[2]
        if last in {"__main__", "conftest", "tests", "test", "setup"} or last.startswith("test_"):
            continue
        yield module.name
        if module.ispkg:
            yield from _inside(sys.modules[module.name])


def _candidates(name: str, directory: Path) -> list[str]:
    """Modules one could have meant: those of the directory, those below the part of the name that does exist."""
    places: list[tuple[str, list[str]]] = [("", [str(directory.resolve())])]
    parent = name.rpartition(".")[0]
    if parent in sys.modules and hasattr(sys.modules[parent], "__path__"):
        places.append((f"{parent}.", list(sys.modules[parent].__path__)))
    found = [module.name for prefix, paths in places for module in pkgutil.iter_modules(paths, prefix)]
    below = [
        f"{child.parent.name}.{child.stem}" for child in directory.glob("*/*.py") if not child.stem.startswith("__")
    ]
    return [*found, *below]


def _failed(spec: str, error: BaseException) -> HandlersFailed:
    described = traceback.TracebackException.from_exception(error)
    own = [frame for frame in described.stack if not _is_machinery(frame.filename)]
    described.stack = traceback.StackSummary.from_list(own)
    refused = isinstance(error, PykiqError)
    if refused:
        own = [frame for frame in own if not frame.filename.startswith(FOLDER)]
    where = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    reason = " ".join(str(error).split()) or "no message"
    return HandlersFailed(
        f"--require {spec} could not be loaded: {type(error).__name__}: {reason}{where}",
        "" if refused else "".join(described.format()).rstrip(),
    )


def _is_machinery(filename: str) -> bool:
    return filename.startswith("<frozen importlib") or "importlib" in Path(filename).parts or filename == __file__


def _to_front(directory: Path) -> None:
    entry = str(directory)
    if entry not in sys.path:
        sys.path.insert(0, entry)
