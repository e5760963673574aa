"""Loading handlers: what `--require` takes, and what is said when it cannot be loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykiq.cli.require import HandlersFailed, load_all
from pykiq.errors import ConfigError

LOADED: list[str] = []


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules and paths of one test are gone in the next; the current directory is the test's."""
    modules, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    LOADED.clear()
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path
    sys.path_importer_cache.clear()


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str = "") -> Path:
        """A module that notes its own name when it is loaded, and then does `text`."""
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"import tests.cli.test_require as t\nt.LOADED.append(__name__)\n{text}\n")
        return path

    return write


def load(*specs: str) -> list[str]:
    """Load from the current directory; every module that was run counts as one handler, except packages."""
    load_all(specs, Path(), lambda: sum(1 for name in LOADED if not hasattr(sys.modules[name], "__path__")))
    return LOADED


def test_a_module_of_the_current_directory_is_loaded_by_its_name(write: Write) -> None:
    write("req_jobs.py")
    assert load("req_jobs") == ["req_jobs"]


def test_a_dotted_name_is_loaded_alone_with_its_packages(write: Write) -> None:
    write("req_app/__init__.py")
    write("req_app/mail.py")
    write("req_app/other.py")
    assert load("req_app.mail") == ["req_app", "req_app.mail"]


def test_a_package_that_declares_nothing_itself_has_all_its_modules_loaded(write: Write) -> None:
    for name in ("__init__", "mail", "deep/__init__", "deep/pdf", "test_mail", "conftest", "__main__"):
        write(f"req_app/{name}.py")
    assert load("req_app") == ["req_app", "req_app.deep", "req_app.deep.pdf", "req_app.mail"]


def test_a_package_that_declares_handlers_is_taken_at_its_word(write: Write) -> None:
    write("req_app/__init__.py", "from req_app import mail")
    write("req_app/mail.py")
    write("req_app/other.py")
    assert load("req_app") == ["req_app", "req_app.mail"]


def test_a_directory_without_an_init_file_is_a_package_too(write: Write) -> None:
    write("req_app/mail.py")
    assert load("req_app") == ["req_app.mail"]


@pytest.mark.parametrize("spec", ["req_app/", "./req_app", "req_app/../req_app"])
def test_a_package_is_taken_by_its_path(write: Write, spec: str) -> None:
    write("req_app/__init__.py")
    write("req_app/mail.py")
    assert load(spec) == ["req_app", "req_app.mail"]


def test_a_file_in_a_package_is_loaded_under_its_dotted_name(write: Write) -> None:
    write("req_app/__init__.py")
    write("req_app/mail.py", "import req_app.mail")
    assert load("req_app/mail.py", "req_app.mail") == ["req_app", "req_app.mail"]


def test_a_file_may_be_anywhere_and_import_its_neighbours(write: Write, tmp_path: Path) -> None:
    write("else/where/req_jobs.py", "import req_neighbour")
    write("else/where/req_neighbour.py")
    assert load(str(tmp_path / "else/where/req_jobs.py")) == ["req_jobs", "req_neighbour"]


def test_a_file_whose_name_is_no_identifier_or_is_taken_is_loaded_all_the_same(write: Write) -> None:
    write("my-jobs.py")
    write("sub/json.py")
    load("my-jobs.py", "sub/json.py", "my-jobs.py")
    assert len(LOADED) == 2
    assert all(name.startswith("pykiq_required_") for name in LOADED)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("req_jbos", "there is no module req_jbos in .* or on sys.path; did you mean `req_jobs`?"),
        ("req_app.mial", "there is no module req_app.mial in .* or on sys.path; did you mean `req_app.mail`?"),
        ("req_ap.mail", "there is no module req_ap in .* or on sys.path; did you mean `req_app.mail`?"),
        ("qqqqqq", "there is no module qqqqqq in .* or on sys.path; give a dotted name or the path of a .py file"),
        ("req_jbos.py", "no such file or directory in .*; did you mean `req_jobs.py`?"),
        ("nowhere/at/all.py", "no such file or directory in .*, nor the folder it would be in"),
        ("./app.rb", "a Ruby file; expected a Python module or file that declares handlers"),
        (".", "a directory that is no package; expected a package or a .py file"),
        ("not a name", "expected a dotted name such as app.handlers, or a path to a .py file"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest_there_is(write: Write, spec: str, message: str) -> None:
    write("req_jobs.py")
    write("req_app/__init__.py")
    write("req_app/mail.py")
    with pytest.raises(ConfigError) as refused:
        load(spec)
    text = str(refused.value).replace(str(Path.cwd()), ".*")
    assert text.startswith(f"--require is {spec}")
    assert text.endswith(message)


@pytest.mark.parametrize("spec", ["req_bad", "req_bad.py", "req-bad.py"])
def test_what_pykiq_refuses_is_one_line_with_the_users_place(write: Write, spec: str) -> None:
    write(f"{Path(spec).stem}.py", "import pykiq\n\n@pykiq.job('no constant')\ndef f(): ...")
    with pytest.raises(
        HandlersFailed, match=r"RegistrationError: the class name 'no constant' .*bad\.py:5\)$"
    ) as failed:
        load(spec)
    assert failed.value.details == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f():\n    raise ValueError('two\\nlines')\nf()", "ValueError: two lines (/req_bad.py:4)"),
        ("import req_not_there", "ModuleNotFoundError: No module named 'req_not_there' (/req_bad.py:3)"),
        ("import sys; sys.exit(3)", "SystemExit: 3 (/req_bad.py:3)"),
        ("x = (", "SyntaxError: '(' was never closed (req_bad.py, line 3)"),
    ],
)
@pytest.mark.parametrize("spec", ["req_bad", "req_bad.py", "req-bad.py"])
def test_an_error_in_the_users_module_is_shown_from_its_first_own_line(
    write: Write, spec: str, text: str, message: str
) -> None:
    write(f"{Path(spec).stem}.py", text)
    with pytest.raises(HandlersFailed) as failed:
        load(spec)
    shown = str(failed.value).replace(str(Path.cwd()), "").replace("req-bad", "req_bad")
    assert shown == f"--require {spec.replace('req-bad', 'req_bad')} could not be loaded: {message}"
    assert "importlib" not in failed.value.details
    assert "require.py" not in failed.value.details.replace("test_require.py", "")
    assert failed.value.details.splitlines()[-1].startswith((message.split(":")[0], "lines"))
