#!/bin/bash
# Runs a command in a network namespace that has only the loopback interface, with a time limit.
# Every test that opens a socket or a browser goes through here: nothing it does can leave the machine.
# usage: netns.sh SECONDS COMMAND [ARG...]
set -euo pipefail
if [ $# -lt 2 ]; then echo "usage: netns.sh SECONDS COMMAND [ARG...]" >&2; exit 2; fi
seconds=$1; shift
if [ -n "${BBW_IN_NETNS:-}" ]; then exec timeout --kill-after=10 "$seconds" "$@"; fi
if ! unshare -n true 2>/dev/null; then
  echo "netns.sh: cannot make a network namespace (needs root and util-linux's unshare); run the tests as root" >&2; exit 1
fi
if ! command -v ip >/dev/null; then echo "netns.sh: 'ip' is missing; install with: apt-get install iproute2" >&2; exit 1; fi
export BBW_IN_NETNS=1
exec timeout --kill-after=10 "$seconds" unshare -n -- sh -c 'ip link set lo up; exec "$@"' sh "$@"
