#!/bin/sh
# Makes sure that the browser tests find a Chromium. Usage: tools/browser.sh BIN
# One on the PATH or in RELTO_CHROMIUM is taken; else Debian's as root; else Playwright's own, which needs no root.
set -eu
bin=$1
if [ -n "${RELTO_CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome >/dev/null 2>&1; then
    exit 0
fi
own=$("$bin/python" -c 'from playwright.sync_api import sync_playwright as start
with start() as playwright: print(playwright.chromium.executable_path)')
[ -x "$own" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Chromium for the browser tests (Debian package)"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0
fi
echo "installing Chromium for the browser tests (Playwright's build)"
"$bin/playwright" install chromium
