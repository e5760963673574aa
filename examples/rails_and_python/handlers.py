"""Python's half: takes a job from Rails, knows who asked for it, and pushes one back."""

from __future__ import annotations

import pykiq

ReportReadyJob = pykiq.remote("ReportReadyJob", queue="ruby")


@pykiq.job("Reports::BuildJob", queue="shared")
def build(title: str) -> None:
    job = pykiq.current_job()
    job.log.info("building", title=title, user=job.attributes.get("user_id"))
    ReportReadyJob.perform_async(title, 3)
