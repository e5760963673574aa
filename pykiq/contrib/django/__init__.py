"""Django: `jobs.py` of every application, and database connections that are fresh for every job.

INSTALLED_APPS = [..., "pykiq.contrib.django"]
PYKIQ = {"redis": "redis://cache:6379/0"}     # may be left out; what `pykiq.configure` takes

DJANGO_SETTINGS_MODULE=shop.settings pykiq run --require pykiq.contrib.django
"""
