#!/bin/sh
# The wheel and the sdist as a user gets them: each is installed into an empty environment, and the demo runs with that,
# away from the checkout, whose own package would be found first.
set -eu
CHECKOUT=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$PYTHON" -m build --outdir "$work/dist" "$CHECKOUT" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
cp -R "$CHECKOUT/examples" "$CHECKOUT/compat_fixtures" "$work"
cd "$work"
for file in dist/*.whl dist/*.tar.gz; do
  printf '\n%s\n' "$(basename "$file")"
  rm -rf venv
  "$PYTHON" -m venv venv
  venv/bin/python -m pip install --quiet "$file[embedded]"
  venv/bin/pykiq --version
  venv/bin/python -c 'import pykiq, sys; sys.exit(not pykiq.__file__.startswith(sys.prefix) and pykiq.__file__)'
  venv/bin/python examples/demo/run.py
done
