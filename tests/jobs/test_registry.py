"""One name, one handler."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pykiq.errors import RegistrationError
from pykiq.jobs.handler import Handler, for_function
from pykiq.jobs.registry import Registry, registry


def charge(order_id: int) -> None: ...
def refund(order_id: int) -> None: ...


def handler(function: Any, name: str = "Billing::Charge") -> Handler:
    return for_function(function, name, {"retry": True, "queue": "default"})


def test_a_handler_is_found_by_its_name_with_and_without_leading_colons() -> None:
    known = Registry()
    charged = known.register(handler(charge))
    assert known.get("Billing::Charge") is charged
    assert known.get("::Billing::Charge") is charged
    assert known.get("Charge") is None
    assert known.get("::Charge") is None


def test_a_name_declared_with_leading_colons_is_the_same_name() -> None:
    known = Registry()
    charged = known.register(handler(charge, "::Billing::Charge"))
    assert known.get("Billing::Charge") is charged
    assert known.names() == ["Billing::Charge"]


def test_names_are_sorted_and_clear_forgets_them() -> None:
    known = Registry()
    known.register(handler(charge, "B"))
    known.register(handler(refund, "A"))
    assert known.names() == ["A", "B"]
    assert "A" in known
    assert len(known) == 2
    known.clear()
    assert known.names() == []


def test_a_second_function_under_the_same_name_is_refused_naming_both() -> None:
    known = Registry()
    first = known.register(handler(charge))
    with pytest.raises(
        RegistrationError, match=r"`Billing::Charge` is already handled by .*charge.*, and now by .*refund"
    ):
        known.register(handler(refund))
    assert known.get("Billing::Charge") is first


def test_the_same_function_again_is_fine() -> None:
    known = Registry()
    known.register(handler(charge))
    known.register(handler(charge))
    assert len(known) == 1


def test_two_functions_that_one_factory_made_are_two() -> None:
    def make() -> Any:
        def made() -> None: ...

        return made

    known = Registry()
    known.register(handler(make()))
    with pytest.raises(RegistrationError, match="already handled"):
        known.register(handler(make()))


def test_two_in_a_loop_under_one_name_are_two_and_refused_unless_they_are_alike() -> None:
    known = Registry()
    first = known.register(for_function(charge, "Billing::Charge", {"retry": True, "queue": "a"}))
    known.register(for_function(charge, "Billing::Charge", {"retry": True, "queue": "a"}))
    with pytest.raises(RegistrationError, match="already handled"):
        known.register(for_function(charge, "Billing::Charge", {"retry": True, "queue": "b"}))
    assert known.get("Billing::Charge") is not first


def test_the_methods_of_two_objects_are_two() -> None:
    class Shop:
        def charge(self, order_id: int) -> None: ...

    known = Registry()
    one, other = Shop(), Shop()
    known.register(handler(one.charge))
    known.register(handler(one.charge))
    with pytest.raises(RegistrationError, match="already handled"):
        known.register(handler(other.charge))


def test_one_file_loaded_under_two_module_names_declares_its_handlers_once(tmp_path: Path) -> None:
    path = tmp_path / "handlers.py"
    path.write_text(
        "import pykiq\n\n@pykiq.job\ndef charge(a): ...\n\nclass Refund(pykiq.Job):\n    def perform(self): ...\n"
    )
    load(path, "handlers_by_path")
    load(path, "package.handlers")
    assert registry.names() == ["Charge", "Refund"]


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
