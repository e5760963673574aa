"""The `pykiq` command.

Exit codes, of every subcommand:

    0   done; for `run`: a clean stop, on a signal or from a dashboard
    1   could not start or go on: no Redis, one too old, a cluster, a handler module that raises
    2   bad configuration or usage: one line on standard error says what was given and what was expected

    main.py      the command group, and how every error becomes one line and one code
    options.py   flags shared by the subcommands, and how they become settings
    run.py push.py stats.py   the subcommands
    require.py   loading the modules that declare handlers
    startup.py   what is checked and said before the first job
    waiting.py   which classes wait in the queues
"""

from __future__ import annotations

from pykiq.cli.main import main

__all__ = ["main"]
