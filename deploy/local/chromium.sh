#!/bin/sh
# Installs Debian's Chromium for the browser tests, if there is none and this user may. Never fails: tests that can't
# run say so themselves.
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Debian's chromium for the browser tests" >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0
fi
echo "No Chromium, and it can't be installed here; the browser tests will not run. On Debian: apt-get install chromium" >&2
