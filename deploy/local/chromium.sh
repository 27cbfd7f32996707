#!/bin/sh
# Installs Debian's Chromium for the browser tests, if there is none and this user may. It prefers the headless shell,
# where a page takes a fifth of the processor time. Never fails: tests that can't run say so themselves.
command -v chromium-headless-shell >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Debian's chromium-headless-shell for the browser tests" >&2
    export DEBIAN_FRONTEND=noninteractive
    options="-qq -o Acquire::http::Timeout=20 -o Acquire::Retries=1"
    # shellcheck disable=SC2086 # several words
    apt-get $options update &&
        apt-get $options install -y --no-install-recommends chromium-headless-shell >/dev/null && exit 0
fi
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
echo "No Chromium, and it can't be installed here; the browser tests will not run. On Debian: apt-get install chromium-headless-shell" >&2
