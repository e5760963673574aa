#!/bin/sh
# Fetches what the tests need, with the distribution's packages only: redis-server, three real Sidekiqs (6.4 of
# bookworm, 7.3 of trixie, 8.1 of forky), promtool and systemd-analyze, which check the examples, libfaketime, and git.
# Running it again is quick when everything is there.
#
# The host's own `ruby` serves when the host is Debian bookworm; the other releases are unpacked with debootstrap into
#   ${PYKIQ_INTEROP_CACHE:-$HOME/.cache/pykiq-interop}/<release>
# outside the checkout, where tests/interop/ruby.py finds them. PYKIQ_INTEROP_MIRROR names another archive than
# debootstrap's own default; PYKIQ_INTEROP_RELEASES fetches fewer releases.
set -eu

CACHE="${PYKIQ_INTEROP_CACHE:-$HOME/.cache/pykiq-interop}"
PACKAGES="ruby,ruby-json,ruby-sidekiq,ruby-activejob,ruby-rails,ruby-rack,puma"
MARKER=".pykiq-complete" # written last: a root without it is half made, unless its Ruby answers

say() { echo "interop: $*" >&2; }
die() { say "$*"; exit 1; }

command -v apt-get >/dev/null || die "apt-get is not here: install redis-server and a ruby with the sidekiq gem by" \
  "hand; the tests use any \`ruby\` on PATH that can load it"

if [ "$(id -u)" = 0 ]; then
  as_root() { env "$@"; }
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root() { sudo -n env "$@"; }
else
  as_root() { die "needs root, or sudo without a password, to run: $*"; }
fi

fetch() { # package...: install, with a fresh list of packages if the list at hand does not know them
  as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2 && return
  as_root apt-get update -q >&2
  as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

has_sidekiq() { "$@" ruby -e 'require "sidekiq"; require "sidekiq/web"; require "rack"' >/dev/null 2>&1; }
has_rails() { "$@" ruby -e 'require "rails"; require "active_job/railtie"; require "action_mailer/railtie"' >/dev/null 2>&1; }

release_of_host() { . /etc/os-release; echo "${VERSION_CODENAME:-unknown}"; }

install_on_host() {
  command -v git >/dev/null || fetch git
  # They check the unit in examples/deploy, which names kill; nothing is started.
  command -v systemd-analyze >/dev/null && [ -x /bin/kill ] || fetch systemd procps
  [ -x /usr/bin/faketime ] || fetch faketime
  [ -x /usr/bin/redis-server ] || fetch redis-server
  [ -x /usr/bin/redis-server ] || die "redis-server was installed but /usr/bin/redis-server is not there"
  [ "$(release_of_host)" = bookworm ] || return 0
  has_sidekiq env && has_rails env || fetch ruby ruby-sidekiq ruby-rack ruby-railties ruby-actionmailer puma
}

fetch_promtool() { # the one program, not the server that Debian would start
  command -v promtool >/dev/null || [ -x "$CACHE/promtool" ] && return
  mkdir -p "$CACHE/prometheus"
  ( cd "$CACHE/prometheus"
    apt-get download -q prometheus >&2 || { as_root apt-get update -q >&2 && apt-get download -q prometheus >&2; }
    dpkg -x prometheus_*.deb . )
  mv "$CACHE/prometheus/usr/bin/promtool" "$CACHE/promtool"
  rm -rf "$CACHE/prometheus"
}

scripts_for() { # release: prints the debootstrap folder that has a script for it
  if [ -e "/usr/share/debootstrap/scripts/$1" ]; then
    echo /usr/share/debootstrap
  else # a release newer than the host's debootstrap is unpacked as sid is
    mkdir -p "$CACHE"
    [ -d "$CACHE/debootstrap" ] || cp -a /usr/share/debootstrap "$CACHE/debootstrap"
    ln -sfn sid "$CACHE/debootstrap/scripts/$1"
    echo "$CACHE/debootstrap"
  fi
}

make_root() { # release
  root="$CACHE/$1"
  [ ! -e "$root/$MARKER" ] || return 0
  as_root true
  if [ -d "$root" ] && has_sidekiq as_root chroot "$root"; then
    as_root touch "$root/$MARKER"
    return 0
  fi
  say "unpacking $1 into $root (about a minute)"
  [ -x /usr/sbin/debootstrap ] || fetch debootstrap
  mkdir -p "$CACHE"
  folder="$(scripts_for "$1")"
  as_root rm -rf "$root" "$root.partial"
  as_root DEBOOTSTRAP_DIR="$folder" /usr/sbin/debootstrap --variant=minbase "--include=$PACKAGES" \
    "$1" "$root.partial" ${PYKIQ_INTEROP_MIRROR:-} >"$CACHE/$1.log" 2>&1 ||
    die "debootstrap of $1 failed; the end of $CACHE/$1.log: $(tail -n 3 "$CACHE/$1.log")"
  has_sidekiq as_root chroot "$root.partial" || die "$1 is unpacked, but its ruby cannot load sidekiq"
  as_root touch "$root.partial/$MARKER"
  as_root mv "$root.partial" "$root"
}

install_on_host
fetch_promtool
for release in ${PYKIQ_INTEROP_RELEASES:-bookworm trixie forky}; do
  [ "$release" = "$(release_of_host)" ] || make_root "$release"
done
say "ready: $(/usr/bin/redis-server --version | cut -d' ' -f1-3), Ruby roots in $CACHE"
