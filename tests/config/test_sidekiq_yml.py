"""sidekiq.yml: keys, sections, lines, what is refused and what is only remarked on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykiq.config.load import Loaded, load
from pykiq.errors import ConfigError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    return tmp_path


def loaded(directory: Path, text: str, **variables: str) -> Loaded:
    (directory / "config" / "sidekiq.yml").write_text(text, encoding="utf-8")
    return load(variables=variables, directory=directory)


def refusal(directory: Path, text: str, **variables: str) -> str:
    with pytest.raises(ConfigError) as refused:
        loaded(directory, text, **variables)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith("config/sidekiq.yml:")
    return message.removeprefix("config/sidekiq.yml:")


def test_the_default_file_is_found_also_as_an_erb_file(directory: Path) -> None:
    (directory / "config" / "sidekiq.yml.erb").write_text(":concurrency: <%= ENV['N'] || 3 %>\n")
    assert load(variables={}, directory=directory).config.concurrency == 3
    (directory / "config" / "sidekiq.yml").write_text(":concurrency: 4\n")
    found = load(variables={}, directory=directory)
    assert (found.config.concurrency, found.file) == (4, "config/sidekiq.yml")


def test_without_a_file_all_is_default(directory: Path) -> None:
    found = load(variables={}, directory=directory)
    assert (found.config.concurrency, found.file, found.given) == (10, None, {})


def test_symbols_are_read_at_every_level_as_keys_and_as_values(directory: Path) -> None:
    text = """
:queues:
  - :critical
  -
    - :low
    - 2
:capsules:
  :slow:
    :concurrency: 1
    queues: :pdf
:scheduler:
  :schedule:
    :job:
      :cron: "* * * * *"
      :class: :HardJob
"""
    config = loaded(directory, text).config
    assert config.capsules[0].queues == (("critical", 0), ("low", 2))
    assert config.capsules[1].queues == (("pdf", 0),)
    assert config.extra == {"scheduler": {"schedule": {"job": {"cron": "* * * * *", "class": "HardJob"}}}}


def test_a_quoted_colon_is_text_and_a_quoted_symbol_a_symbol(directory: Path) -> None:
    config = loaded(directory, ":queues:\n  - ':a'\n  - :\"b c\"\n  - ':'\n").config
    assert config.queues == (":a", "b c", ":")


def test_a_symbol_inside_brackets_is_refused_as_it_is_in_ruby(directory: Path) -> None:
    assert refusal(directory, ":a: 1\n:queues: [:low, 2]\n").startswith("2: not YAML: ")


def test_the_section_of_the_environment_is_merged_over_the_rest(directory: Path) -> None:
    text = ":concurrency: 5\n:queues: [a]\nproduction:\n  :concurrency: 25\nstaging:\n  :queues: [b]\n"
    assert loaded(directory, text, RAILS_ENV="production").config.concurrency == 25
    assert loaded(directory, text, RAILS_ENV="staging").config.queues == ("b",)
    assert loaded(directory, text).config.concurrency == 5
    assert loaded(directory, ":concurrency: 5\nproduction:\n", RAILS_ENV="production").config.concurrency == 5


def test_every_key_of_ruby_is_read(directory: Path) -> None:
    text = """
:timeout: 9
:tag: shop
:labels: [a, b]
:max_retries: 4
:dead_max_jobs: 50
:dead_timeout_in_seconds: 60
:poll_interval_average: 3
:average_scheduled_poll_interval: 7
:verbose: true
"""
    config = loaded(directory, text).config
    assert (config.timeout, config.tag, config.labels, config.max_retries) == (9.0, "shop", ("a", "b"), 4)
    assert (config.dead_max_jobs, config.dead_timeout) == (50, 60.0)
    assert (config.poll_interval, config.average_scheduled_poll_interval) == (3.0, 7.0)
    assert config.log_level == "debug"


def test_settings_of_our_own_stand_below_pykiq(directory: Path) -> None:
    text = ":timeout: 9\n:require: ./app.rb\n"
    own = ":pykiq:\n  require: [app.jobs, other.py]\n  metrics_port: 9394\n  timeout: 3\n"
    config = loaded(directory, text + own).config
    assert (config.require, config.metrics_port, config.timeout) == (("app.jobs", "other.py"), 9394, 3.0)
    assert config.extra == {"require": "./app.rb"}


def test_an_unknown_setting_below_pykiq_is_refused(directory: Path) -> None:
    assert refusal(directory, ":pykiq:\n  metrics_prt: 1\n") == (
        "2: `metrics_prt` is not a setting; did you mean `metrics_port`?"
    )


def test_a_misspelt_key_is_kept_as_ruby_does_and_remarked_on(directory: Path) -> None:
    found = loaded(directory, ":concurency: 3\n:metrics_port: 1\n:custom: 1\n")
    assert found.config.extra == {"concurency": 3, "metrics_port": 1, "custom": 1}
    assert found.notes == (
        "config/sidekiq.yml:1: `concurency` is not a setting; did you mean `concurrency`?",
        "config/sidekiq.yml:2: `metrics_port` is not read here; put it below `pykiq:`",
    )


def test_a_capsule_called_default_says_more_about_the_default_one(directory: Path) -> None:
    text = ":queues: [a]\n:capsules:\n  default:\n    concurrency: 3\n  b:\n    concurrency: 1\n"
    assert [(c.name, c.concurrency, c.names) for c in loaded(directory, text).config.capsules] == [
        ("default", 3, ("a",)),
        ("b", 1, ("default",)),
    ]


def test_an_anchor_may_serve_two_capsules(directory: Path) -> None:
    text = ":capsules:\n  a: &x\n    concurrency: 1\n    queues: [q]\n  b: *x\n  c:\n    <<: *x\n    concurrency: 2\n"
    assert [(c.name, c.concurrency, c.names) for c in loaded(directory, text).config.capsules[1:]] == [
        ("a", 1, ("q",)),
        ("b", 1, ("q",)),
        ("c", 2, ("q",)),
    ]


def test_an_empty_value_is_not_a_setting(directory: Path) -> None:
    text = ':concurrency: <%= ENV["NONE"] %>\n:queues:\n:timeout: ""\n:capsules: {}\n'
    found = loaded(directory, text)
    assert found.given == {}
    assert found.config.queues == ("default",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n:since: 2020-01-01\n", "2: a bare date or time; expected it in quotes"),
        ("a: 1\nb: !ruby/regexp /x/\n", "2: the YAML type !ruby/regexp; expected plain values"),
        (
            "x: !!python/object/apply:os.system [id]\n",
            "1: the YAML type !!python/object/apply:os.system; expected plain values",
        ),
        ("x: !!set {a}\n", "1: the YAML type !!set; expected plain values"),
        ("- a\n- b\n", "1: the file is a list; expected settings as `name: value`"),
        ("just text\n", "1: the file is a single value; expected settings as `name: value`"),
        ("[a]: 1\n", "1: a list or a mapping as a key; expected a name"),
        ("production: 5\n", "1: the section `production` is 5; expected settings below it"),
        (":pykiq: 5\n", "1: `pykiq` is 5; expected settings below it"),
        ("a: 1\n:capsules: [x]\n", "2: `capsules` is ['x']; expected a mapping of names to concurrency and queues"),
        (
            ":queues:\n  - ok\n  - [low, many]\n",
            '3: a queue is "many"; expected a whole number from 0 to 10000, as the weight of queue `low`',
        ),
        (
            ":queues:\n  a: 1\n  b: -1\n",
            "3: queue `b` is -1; expected a whole number from 0 to 10000, as the weight of queue `b`",
        ),
        (":queues:\n  - ~\n", "2: a queue is empty; expected a queue as name or [name, weight]"),
        (
            ":capsules:\n  s:\n    concurrency: x\n",
            '2: capsule `s`: concurrency is "x"; expected a whole number from 1 to 10000',
        ),
        (":dead_max_jobs: many\n", '1: `dead_max_jobs` is "many"; expected a whole number, 1 or more'),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(directory: Path, text: str, message: str) -> None:
    assert refusal(directory, text, RAILS_ENV="production") == message


@pytest.mark.parametrize("text", ["a: [1\n", "a: 1\n b: 2\n", "a: 'x\n", "\ta: 1\n", "a: *nowhere\n", "a: \x07\n"])
def test_what_is_not_yaml_is_refused(directory: Path, text: str) -> None:
    assert "not YAML: " in refusal(directory, text)


def test_a_broken_line_does_not_show_what_erb_put_there(directory: Path) -> None:
    message = refusal(directory, 'a: [<%= ENV["SECRET"] %>\nb: }\n', SECRET="s3cret")
    assert "s3cret" not in message


def test_lines_are_those_of_the_file_after_erb(directory: Path) -> None:
    text = '<%# one -%>\n:queues: [<%= ENV["Q"] %>]\n<%# three -%>\n:timeout: 0\n'
    assert refusal(directory, text, Q="a").startswith("4: `timeout` is 0")


def test_a_file_that_is_not_utf8_is_refused(directory: Path) -> None:
    (directory / "config" / "sidekiq.yml").write_bytes(b":tag: \xff\n")
    with pytest.raises(ConfigError, match=r"^config/sidekiq\.yml cannot be read: it is not UTF-8$"):
        load(variables={}, directory=directory)


@pytest.mark.parametrize(
    "text",
    [
        ":schedule:\n  job:\n    cron: <%= Cron.daily %>\n",
        ":hostname: <%= `hostname` %>\n:schedule: [<%= 'x'.upcase %>]\n",
        "<%= Foo.bar %>: 1\n",
        ":schedule:\n<% JOBS.each do |job| %>\n  <%= job %>:\n    cron: x\n<% end %>\n",
        ":concurrency: 3\nstaging:\n  :concurrency: <%= Foo.bar %>\n<% if x %>\n  :queues: [q]\n<% end %>\n",
        "production:\n  :schedule:\n<% if x %>\n    a: 1\n<% end %>\n  :timeout: 9\n",
    ],
)
def test_ruby_in_parts_that_are_not_read_does_not_matter(directory: Path, text: str) -> None:
    config = loaded(directory, ":tag: shop\n" + text, RAILS_ENV="production").config
    assert config.tag == "shop"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (":timeout: <%= Foo.bar %>\n", 1),
        (":queues:\n  - a\n  - b_<%= Foo.bar %>\n", 3),
        (":queues:\n  a: 1\n  <%= Foo.bar %>: 1\n", 3),
        (":capsules:\n  slow:\n    concurrency: <%= Foo.bar %>\n", 3),
        (":pykiq:\n  require: [<%= Foo.bar %>]\n", 2),
        (":verbose: <%= Foo.bar %>\n", 1),
        ("default: &default\n  :timeout: <%= Foo.bar %>\nproduction:\n  <<: *default\n", 2),
        (":queues:\n<% if x %>\n  - a\n<% end %>\n", 2),
        ("<% if x %>\n:timeout: 3\n<% end %>\n", 1),
        ("production:\n<% if x %>\n  :timeout: 3\n<% end %>\n", 2),
        ("default: &default\n  :queues:\n<% x %>\n  - a\n  :schedule:\n   a: 1\nproduction:\n  <<: *default\n", 3),
        (":schedule: {}\n<% if x %>\n:timeout: [3\n<% end %>\n", 2),
    ],
)
def test_ruby_in_a_setting_is_refused_by_its_line(directory: Path, text: str, line: int) -> None:
    assert refusal(directory, text, RAILS_ENV="production").startswith(f"{line}: `<%")


def test_what_is_not_read_is_kept_as_it_is_written(directory: Path) -> None:
    config = loaded(directory, ":hostname: web-<%= Foo.bar %>\n:list: [{a: <%= Foo.baz %>}]\n").config
    assert config.extra == {"hostname": "web-<%= Foo.bar %>", "list": [{"a": "<%= Foo.baz %>"}]}


def test_rails_env_is_the_environment(directory: Path) -> None:
    text = ":queues: [<%= Rails.env %>_default]\n:concurrency: <%= Rails.env.production? ? 25 : 3 %>\n"
    config = loaded(directory, text, RAILS_ENV="production").config
    assert (config.queues, config.concurrency) == (("production_default",), 25)


def test_no_file_is_read_when_none_is_wanted(directory: Path) -> None:
    (directory / "config" / "sidekiq.yml").write_text(":concurrency: [\n")
    found = load(variables={"PYKIQ_CONFIG": "nowhere.yml"}, directory=directory, without_file=True)
    assert (found.config.concurrency, found.file) == (10, None)


def test_a_byte_order_mark_and_carriage_returns_do_not_matter(directory: Path) -> None:
    (directory / "config" / "sidekiq.yml").write_bytes(b"\xef\xbb\xbf:concurrency: 4\r\n:queues:\r\n  - a\r\n")
    config = load(variables={}, directory=directory).config
    assert (config.concurrency, config.queues) == (4, ("a",))


def _bomb(levels: int) -> str:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        _bomb(12),
        _bomb(12) + ":queues: *l11\n",
        "a: &a [*a]\n",
        "m0: &m0 {a: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 20)}]}}\n" for n in range(1, 9)),
        "[" * 5_000,
        ":timeout: " + "9" * 10_000 + "\n",
        ":timeout: 1" + ":1" * 20_000 + "\n",
        ":queues: [caf" + "x" * 2**20 + "]\n",
    ],
    ids=["aliases", "aliases in a setting", "itself", "merges", "depth", "digits", "sixties", "size"],
)
def test_a_file_made_to_use_up_the_machine_is_refused_in_one_line(directory: Path, text: str) -> None:
    (directory / "config" / "sidekiq.yml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(variables={}, directory=directory)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_aliases_as_real_files_have_them_are_read(directory: Path) -> None:
    text = "d: &d\n  :timeout: 7\n  :queues: [a, b]\nproduction:\n  <<: *d\n  :queues: [c]\n"
    config = loaded(directory, text, RAILS_ENV="production").config
    assert (config.timeout, config.queues) == (7.0, ("c",))
