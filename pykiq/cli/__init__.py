"""The `pykiq` command.

Exit codes, of every subcommand:

    0   done; for `run`: a clean stop, on a signal or from a dashboard
    1   could not start or go on: no Redis, one too old, a cluster, a handler module that raises; for actions on jobs
        and for `doctor`: something could not be done, something is wrong
    2   bad configuration or usage: one line on standard error says what was given and what was expected
    141 nobody reads its standard output any more, as in `pykiq dead | head`

    main.py      the command group: subcommands loaded when used, every error one line and one code
    options.py   flags shared by the subcommands, and how they become settings
    inherited.py process_one.py   signals and streams as the parent left them; process 1 of a container
    run.py       `run`; require.py loads handlers, startup.py says what starts
    push.py pushing.py   `push`, its flags and what it does; push_options.py finds its options, each.py reads lines
    job.py       `job`: one job, wherever it is; backtrace.py folds the frames of libraries
    jobs.py      `retries`, `scheduled`, `dead`
    queues.py    `queues`, `pause`, `resume`
    fleet.py     `processes`, `busy`, `quiet`, `stop`
    stats.py doctor/   the numbers; what is wrong
    dev.py       `dev`; leash.py ends its worker and its server with it
    top.py       `top`; frame.py makes one frame of it, without any I/O; screen.py is the terminal
    stubs*.py mark.py  declarations for the other language; deploy marks

    words.py     actions and JIDs
    filters.py   which jobs are meant        bulk.py      asking, counting, telling
    showing.py   jobs on the screen, as JSON progress.py  a bar where somebody sees it
    table.py     tables that fit             times.py     moments as people write them
    output.py    printing: escapes for terminals, strict JSON, words quoted for a shell
"""

from __future__ import annotations

from pykiq.cli.main import main

__all__ = ["main"]
