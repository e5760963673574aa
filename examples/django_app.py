"""A Django project in one file, with a worker inside its server. A real project has these lines in several files.

    pip install django
    python examples/django_app.py              # serves http://localhost:8001 and runs jobs, until Ctrl-C
    curl -X POST localhost:8001/orders/42; curl localhost:8001/orders/42

In production run the worker on its own:

    DJANGO_SETTINGS_MODULE=shop.settings pykiq run --require pykiq.contrib.django
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

import pykiq

# settings.py
settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(tempfile.mkdtemp()) / "shop.sqlite3",
            "ATOMIC_REQUESTS": True,
        }
    },
    INSTALLED_APPS=["pykiq.contrib.django"],  # also: fresh database connections around every job
    PYKIQ={"queues": ("shop",), "concurrency": 5},
    ROOT_URLCONF=__name__,
    SECRET_KEY="only an example",
)
django.setup()


# shop/jobs.py: pykiq.contrib.django imports the `jobs` of every application
@pykiq.job("Shop::ChargeJob", queue="shop", retry=5)
def charge(order_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orders SET charged = 1 WHERE id = %s", [order_id])


# shop/views.py
def orders(request: HttpRequest, order_id: int) -> HttpResponse:
    with connection.cursor() as cursor:
        if request.method == "POST":
            cursor.execute("INSERT INTO orders (id, charged) VALUES (%s, 0)", [order_id])
            # After the commit: before it, the job may start and not find its order.
            transaction.on_commit(partial(charge.perform_async, order_id))
            return JsonResponse({"ordered": order_id}, status=202)
        cursor.execute("SELECT charged FROM orders WHERE id = %s", [order_id])
        return JsonResponse({"charged": cursor.fetchone() == (1,)})


urlpatterns = [path("orders/<int:order_id>", orders)]


def main() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, charged INTEGER NOT NULL)")
    port = int(os.environ.get("PORT", "8001"))
    with pykiq.embed(), make_server("127.0.0.1", port, get_wsgi_application()) as server:
        print(f"serving on http://localhost:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
