"""Makes this interpreter look like one on Windows: without what only POSIX systems have. For a process of its own.

What belongs to Python itself, and the libraries, is loaded before: they would load parts that are not installed here.
"""

# ruff: noqa: E402, F401
from __future__ import annotations

import select

for name in ("poll", "epoll", "kqueue"):  # first: what selects looks for them when it is loaded
    if hasattr(select, name):
        delattr(select, name)

import asyncio
import multiprocessing.util
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from types import ModuleType

import click
import orjson
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
import structlog

MODULES = (
    "_posixsubprocess", "_curses", "crypt", "curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource",
    "spwd", "syslog", "termios", "tty",
)  # fmt: skip
SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}
OF_OS = (
    "O_CLOEXEC", "O_NONBLOCK", "WIFEXITED", "WIFSIGNALED", "WNOHANG", "WTERMSIG", "chown", "chroot", "confstr",
    "ctermid", "eventfd", "fchdir", "fchmod", "fchown", "fork", "forkpty", "get_blocking", "getegid", "geteuid",
    "getgid", "getgroups", "getloadavg", "getpgid", "getpgrp", "getpriority", "getsid", "getuid", "killpg", "lchown",
    "mkfifo", "mknod", "nice", "openpty", "pathconf", "pidfd_open", "pipe2", "posix_spawn", "pread", "pwrite",
    "register_at_fork", "sched_getaffinity", "sched_yield", "sendfile", "set_blocking", "setpgid", "setsid", "sysconf",
    "tcgetpgrp", "uname", "wait", "wait3", "wait4", "waitid", "writev",
)  # fmt: skip
OF_SOCKET = ("AF_UNIX", "SOCK_CLOEXEC", "SOCK_NONBLOCK", "SO_REUSEPORT", "SCM_RIGHTS", "CMSG_LEN", "send_fds")


def _without(module: ModuleType, *names: str) -> None:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def pretend() -> None:
    pair, unix = socket.socketpair, socket.AF_UNIX
    socket.socketpair = lambda *_: pair(unix)  # there it is made of two TCP sockets
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    _without(os, *OF_OS)
    _without(socket, *OF_SOCKET)
    _without(time, "tzset", "pthread_getcpuclockid", "clock_gettime")
    _without(signal, "pthread_kill", "pthread_sigmask", "set_wakeup_fd_posix", "setitimer", "sigpending", "sigwait",
             "sigtimedwait", "siginterrupt", "alarm", "pause", "pidfd_send_signal",
             *[name for name in dir(signal) if name.startswith("SIG") and name not in SIGNALS
               and not name.startswith("SIG_")])  # fmt: skip
    sys.platform = "win32"


sysconfig.get_config_vars()  # looked up by the name of the system, once
pretend()
