"""What happens when Django has loaded its applications, in web processes and workers alike."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules

from pykiq.client.configure import configure
from pykiq.contrib.django.connections import fresh_connections
from pykiq.middleware.chain import server_middleware


class PykiqConfig(AppConfig):  # type: ignore[misc] # Django has no types
    """`pykiq.contrib.django` in INSTALLED_APPS."""

    name = "pykiq.contrib.django"
    label = "pykiq"
    verbose_name = "pykiq"

    def ready(self) -> None:
        """Configure from `settings.PYKIQ`, import every application's `jobs`, look after connections."""
        given = getattr(settings, "PYKIQ", None)
        if given is not None:
            configure(**given)
        server_middleware.prepend(fresh_connections)
        autodiscover_modules("jobs")
