"""The Ruby file that stands for Python's handlers: their classes, and the handover of those a Ruby process takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pykiq.client.naming import camel_case, is_constant
from pykiq.errors import ConfigError
from pykiq.jobs.handler import Handler

HEADER = "# Jobs that run in Python. Written by `pykiq stubs ruby`: write it again instead of editing it."

_TOP = """\
{header}
#
# Load it wherever Ruby pushes these jobs or serves their queues. A Sidekiq server that takes one hands it to the queue
# {queue}, which only Python may serve: same jid, same keys, no retry counted.

require "sidekiq"
{requires}
module {module}
  QUEUE = {queue}
  CLASSES = [
{classes}
  ].freeze

  # The outermost server middleware. It pushes before Sidekiq forgets the job, and past all client middleware, which
  # would take it for a new one.
  class Handover
    def call(_instance, job, queue)
      return yield unless CLASSES.include?((job["wrapped"] || job["class"]).to_s.delete_prefix("::"))
      raise "queue #{{QUEUE}} is Python's alone, but this Sidekiq serves it: leave it out" if queue == QUEUE

      payload = Sidekiq.dump_json(job.merge("queue" => QUEUE))
      Sidekiq.redis do |redis|
        redis.sadd("queues", [QUEUE])
        redis.lpush("queue:#{{QUEUE}}", payload)
      end
    end
  end
end

Sidekiq.configure_server do |config|
  config.server_middleware {{ |chain| chain.prepend {module}::Handover }}
end
"""

_CLASS = """
# {comment}
class {name}
  include Sidekiq::Job
  sidekiq_options({options})

  def perform(*)
    raise NotImplementedError, "{name} runs in Python"
  end
end
"""

_ACTIVE_JOB = """
# {comment}
class {name} < ActiveJob::Base
{declared}
  def perform(*)
    raise NotImplementedError, "{name} runs in Python"
  end
end unless defined?({name}) # one that Rails has itself stays as it is
"""

_MODULE = "module {0}; end unless defined?({0})\n"

_IDENTIFIER = re.compile(r"[a-z_][A-Za-z0-9_]*")


def ruby_file(handlers: Sequence[Handler], route_to: str, out: Path | None) -> str:
    """The text of the file. In `out`, Rails expects a module named after the file; without it that is PythonJobs."""
    names = [handler.name.removeprefix("::") for handler in handlers]
    top = _TOP.format(
        header=HEADER,
        requires='require "active_job"\n' if any(handler.active_job for handler in handlers) else "",
        module=module_name(out),
        queue=literal(route_to),
        classes="\n".join(f"    {literal(name)}," for name in names),
    )
    inside = [space for space in namespaces(names) if any(space.startswith(f"{name}::") for name in names)]
    spaces = [_MODULE.format(space) for space in namespaces(names) if space not in inside]
    stubs: list[str] = []
    for handler, name in zip(handlers, names, strict=True):
        around = [space for space in inside if name.startswith(f"{space}::")]  # inside of a class that stands by now
        inside = [space for space in inside if space not in around]
        stubs += ["\n" if around else "", *map(_MODULE.format, around), _stub(handler)]
    return "".join([top, "\n" if spaces else "", *spaces, *stubs])


def module_name(out: Path | None) -> str:
    """The constant that Rails' autoloader looks for in this file. Raises ConfigError when the name makes none."""
    if out is None:
        return "PythonJobs"
    name = camel_case(out.stem)
    if out.suffix != ".rb" or not is_constant(name):
        raise ConfigError(f"--out is {out}; expected a Ruby file whose name makes a module, such as python_jobs.rb")
    return name


def namespaces(names: Iterable[str]) -> list[str]:
    """Every module around these classes, outer ones first: `A::B::C` stands in `A` and `A::B`."""
    found: dict[str, None] = {}
    for name in names:
        parts = name.split("::")
        found.update(dict.fromkeys("::".join(parts[:depth]) for depth in range(1, len(parts))))
    taken = set(names)
    return [space for space in found if space not in taken]


def literal(value: Any) -> str:
    """A JSON value in Ruby's words. A `#` is escaped: Ruby would run what stands in `#{…}`."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("#", "\\#")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)} => {literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def _stub(handler: Handler) -> str:
    place = getattr(handler.target, "__module__", None)
    comment = " ".join((f"{handler.title}, in {place}" if place else handler.title).split())
    name = handler.name.removeprefix("::")
    if handler.active_job is not None:
        return _ACTIVE_JOB.format(comment=comment, name=name, declared=_declared(handler))
    return _CLASS.format(comment=comment, name=name, options=_options(handler.options))


def _declared(handler: Handler) -> str:
    """What an ActiveJob class says of itself. Sidekiq's options are there when its Rails part is loaded."""
    options = dict(handler.options)
    lines = [f"queue_as {literal(options.pop('queue'))}"]
    if handler.active_job is not None and handler.active_job.queue_as is not None:
        lines.insert(0, "# In Python a function of the arguments decides the queue.")
    if options.get("priority") is not None:
        lines.append(f"queue_with_priority {options['priority']}")
    more = {key: value for key, value in options.items() if key != "priority" and (key, value) != ("retry", True)}
    if more:
        lines.append(f"sidekiq_options({_options(more)}) if respond_to?(:sidekiq_options)")
    return "".join(f"  {line}\n" for line in lines)


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{_key(name)}: {literal(value)}" for name, value in options.items())


def _key(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else literal(name)
