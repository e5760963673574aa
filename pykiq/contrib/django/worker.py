"""Sets Django up, which loads the handlers: what `pykiq run --require pykiq.contrib.django` comes by."""

import django
from django.apps import apps

from pykiq.errors import ConfigError

django.setup()
if not apps.is_installed("pykiq.contrib.django"):
    raise ConfigError("Django's INSTALLED_APPS has no 'pykiq.contrib.django'; add it, so that its `jobs` are found")
