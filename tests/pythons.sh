#!/bin/sh
# Runs the fast tests on the newer Pythons of other Debian releases: trixie has 3.13, forky 3.14. Needs root, and the
# roots that tests/interop/install.sh unpacks; what is not there is skipped, with the reason (with CI=true it fails).
#
#   tests/pythons.sh [RELEASE ...]          default: trixie forky
#   PYKIQ_PYTEST=tests/worker tests/pythons.sh forky    other tests than the fast ones
set -eu

CACHE="${PYKIQ_INTEROP_CACHE:-$HOME/.cache/pykiq-interop}"
CHECKOUT="$(cd "$(dirname "$0")/.." && pwd)"
TESTS="${PYKIQ_PYTEST:-tests -n 2 -m \"not interop and not chaos and not system\"}"
failed=0

say() { echo "pythons: $*" >&2; }

skip() {
  say "$release skipped: $*"
  [ "${CI:-}" != true ] || failed=1
}

install_python() { # in root, unless it is there
  chroot "$root" python3 -m ensurepip --version >/dev/null 2>&1 && return
  chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv >&2 ||
    { chroot "$root" apt-get update -q >&2 &&
      chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv >&2; }
}

run_in() { # root: the tests, with the checkout and /proc mounted where nobody else sees them
  unshare --mount sh -eu -c '
    root="$1" checkout="$2" tests="$3"
    mkdir -p "$root/srv/pykiq" "$root/srv/pykiq-venv"
    mount --bind "$checkout" "$root/srv/pykiq"
    mount -t proc proc "$root/proc"
    if [ -f "${PIP_CERT:-}" ]; then
      cp "$PIP_CERT" "$root/srv/pykiq-venv/certificates.pem"
      export PIP_CERT=/srv/pykiq-venv/certificates.pem SSL_CERT_FILE=/srv/pykiq-venv/certificates.pem
    fi
    exec chroot "$root" sh -eu -c "
      export LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
      test -x /srv/pykiq-venv/bin/python || python3 -m venv /srv/pykiq-venv
      /srv/pykiq-venv/bin/python -m pip install --quiet --editable \"/srv/pykiq[dev]\"
      cd /srv/pykiq
      exec /srv/pykiq-venv/bin/python -m pytest -p no:cacheprovider -q $tests
    "
  ' sh "$@"
}

[ $# -gt 0 ] || set -- trixie forky
for release in "$@"; do
  root="$CACHE/$release"
  if [ ! -x "$root/usr/bin/apt-get" ]; then
    skip "$root is not there; make ruby unpacks it"
  elif [ "$(id -u)" != 0 ]; then
    skip "needs root"
  elif ! install_python; then
    skip "python3-venv cannot be installed there"
  else
    say "$release: $(chroot "$root" python3 --version)"
    run_in "$root" "$CHECKOUT" "$TESTS" || failed=1
  fi
done
exit "$failed"
