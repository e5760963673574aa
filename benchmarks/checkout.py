"""Another state of pykiq to compare with: a folder, or a revision of this repository taken out into one."""

from __future__ import annotations

import contextlib
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from benchmarks.processes import BenchmarkError

ROOT = Path(__file__).parent.parent


@contextlib.contextmanager
def checked_out(base: str) -> Iterator[Path]:
    """The folder `base`; or one with the package as it is in the revision `base`, removed afterwards."""
    if Path(base).is_dir():
        yield Path(base).resolve()
        return
    packed = subprocess.run(["git", "-C", str(ROOT), "archive", base, "pykiq"], capture_output=True, check=False)
    if packed.returncode:
        said = packed.stderr.decode(errors="replace").strip()
        raise BenchmarkError(f"--base {base} is neither a folder nor a revision of {ROOT}: {said}")
    with tempfile.TemporaryDirectory(prefix="pykiq-base-") as folder:
        with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder).resolve()


def commit(folder: Path, revision: str | None = None) -> str:
    """Which commit a checkout is, `+` behind it where its pykiq has been changed since; or which a revision is."""
    if revision and not Path(revision).is_dir():
        return _git(ROOT, "rev-parse", "--short", revision)
    changed = "+" if _git(folder, "status", "--porcelain", "pykiq") else ""
    return _git(folder, "rev-parse", "--short", "HEAD") + changed


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()
