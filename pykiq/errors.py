"""Every error pykiq raises, and the three signals a handler may raise.

PykiqError
├── ConfigError            bad flags, files or keywords; the command line exits with 2
├── AddressTaken           another process has the metrics port
├── RegistrationError      a handler declared with a name or option that Ruby could not take
├── PayloadError           (ValueError) a job refused at push: nothing was written
│   └── ArgumentsError     its arguments would not survive JSON; names the culprit's path
├── Unreadable             bytes in Redis that are not a job; they go to `dead` as they are
├── PoisonPill             a job that was taken over from processes that died, once too often
├── UnknownClass           no handler here for the job's class
├── DeserializationError   an ActiveJob's arguments cannot be read, or one of its records cannot be located
├── SignatureMismatch      the handler cannot take this number of arguments
├── JobTimeout             the job ran past its `timeout` option
└── StoreError             Redis cannot be used: refused, too old, a cluster

Signal                     (Exception) raised by a handler to say what shall become of the job
├── Snooze(seconds)        run it again later; not a failure, the retry count stays
├── Discard(reason)        drop it: no retry, not dead
└── Kill(reason)           straight to the dead set, whatever the retry count

Interrupted                (BaseException) raised inside a job that outlived the shutdown deadline;
                           its bytes are back in the queue already
└── OutOfTime              raised inside a `def` handler that ran past its `timeout`; the job fails with JobTimeout
"""

from __future__ import annotations


class PykiqError(Exception):
    """Base of all of pykiq's errors."""


class ConfigError(PykiqError):
    """A setting that cannot be used: what was given, what was expected, the nearest valid name."""


class AddressTaken(PykiqError):
    """Another process has the metrics port, an older worker maybe. Nothing is wrong with the settings as such."""


class RegistrationError(PykiqError):
    """A handler that cannot be declared as written."""


class PayloadError(PykiqError, ValueError):
    """A job that was refused at push. Nothing was written."""


class ArgumentsError(PayloadError):
    """Job arguments that JSON would change or refuse; the message names the path of the culprit."""


class Unreadable(PykiqError):
    """Bytes that are not a job. They are kept as they are, in the dead set."""


class PoisonPill(PykiqError):
    """The job was taken over from processes that died, once too often: it probably kills them, and is in `dead`."""


class UnknownClass(PykiqError):
    """The job's class has no handler in this process."""


class DeserializationError(PykiqError):
    """An ActiveJob's arguments cannot be read; the message names the path. Rails has an error of the same name."""


class SignatureMismatch(PykiqError, TypeError):
    """The job's arguments do not fit the handler's signature."""


class JobTimeout(PykiqError):
    """The job ran longer than its `timeout` option allows."""


class StoreError(PykiqError):
    """Redis cannot be used as it is."""


class Signal(Exception):
    """What a handler raises to decide its job's fate. Not a failure of the handler."""


class Snooze(Signal):
    """Run this job again in `seconds`; the retry count is untouched."""

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"Snooze was given {seconds!r:.80}; expected seconds as a number")
        try:
            self.seconds = float(seconds)
        except OverflowError:
            raise TypeError("Snooze was given an integer of more than 300 digits; expected seconds") from None
        super().__init__(seconds)


class Discard(Signal):
    """Drop this job: no retry, no dead entry."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Kill(Signal):
    """Put this job into the dead set now."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Interrupted(BaseException):
    """Raised inside a job that is still running at the shutdown deadline.

    A BaseException, so that a handler's `except Exception` does not swallow it. The job is back at the head of its
    queue before this is raised: clean up and let it pass.
    """


class OutOfTime(Interrupted):
    """Raised inside a `def` handler that has run past its `timeout` option.

    Clean up and let it pass: the job then fails with JobTimeout and is retried as after any failure.
    """
