"""Rails' ActiveJob in Python: the types of its arguments, what is declared about a job, the job that runs."""

from pykiq.errors import DeserializationError
from pykiq.jobs.activejob import ActiveJob, current, locator
from pykiq.jobs.ajrules import DiscardOn, RescueFrom, RetryOn
from pykiq.wire.ajtimes import DateTime, Time, TimeWithZone
from pykiq.wire.ajvalues import (
    Custom,
    Duration,
    GlobalID,
    IndifferentHash,
    Keywords,
    Module,
    Range,
    Symbol,
    symbol_keys,
)

__all__ = [
    "ActiveJob",
    "Custom",
    "DateTime",
    "DeserializationError",
    "DiscardOn",
    "Duration",
    "GlobalID",
    "IndifferentHash",
    "Keywords",
    "Module",
    "Range",
    "RescueFrom",
    "RetryOn",
    "Symbol",
    "Time",
    "TimeWithZone",
    "current",
    "locator",
    "symbol_keys",
]
