"""Every setting of a pykiq process: what it means, what it accepts, and where it may come from.

    settings.py      what a value of each kind looks like, and how a wrong one is refused
    redis_url.py     which Redis URLs are understood
    redis_parameters.py   what may follow their ?
    masking.py       how passwords are hidden in any text
    capsule.py       Capsule: one pool of slots and its queues; every way to write queues down
    model.py         Config: all settings, frozen, checked once
    environment.py   the ONE function that reads environment variables
    erb.py, erb_values.py   the `ENV` forms of ERB found in real sidekiq.yml files
    yaml_lines.py    safe YAML that remembers its lines
    sidekiq_yml.py   sidekiq.yml into settings
    load.py          command line > environment > file > default

Importing this package reads no file and no environment variable.
"""

from __future__ import annotations

from pykiq.config.capsule import Capsule
from pykiq.config.model import Config

__all__ = ["Capsule", "Config"]
