"""What the official busybox image's applets can do and the machine's busybox may have been built without.

Debian builds busybox without ``FEATURE_WGET_TIMEOUT`` (``wget -T 2``, which learners type to test a connection, crashes there) and without
``NC_110_COMPAT`` (``nc -z``). Where that is so, the applet's place in the image is taken by a short script around it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

WGET = """\
#!/bin/sh
# The busybox of this machine has no -T: the limit is kept by timeout.
limit=0 left=$#
while [ "$left" -gt 0 ]; do
  word=$1; shift; left=$((left - 1))
  case $word in
    --timeout=*) limit=${word#*=}; continue ;;
    --timeout) limit=$1; shift; left=$((left - 1)); continue ;;
    --header | --post-data | --post-file) set -- "$@" "$word" "$1"; shift; left=$((left - 1)); continue ;;
    --* | -) set -- "$@" "$word"; continue ;;
    -*) ;;
    *) set -- "$@" "$word"; continue ;;
  esac
  rest=${word#-} kept=- value=
  while [ -n "$rest" ]; do
    letter=${rest%"${rest#?}"}; rest=${rest#?}
    case $letter in
      T) if [ -n "$rest" ]; then limit=$rest; else limit=$1; shift; left=$((left - 1)); fi; break ;;
      O | o | P | U | Y | t) kept=$kept$letter$rest; [ -n "$rest" ] || value=yes; break ;;
      *) kept=$kept$letter ;;
    esac
  done
  [ "$kept" = - ] || set -- "$@" "$kept"
  if [ -n "$value" ] && [ "$left" -gt 0 ]; then set -- "$@" "$1"; shift; left=$((left - 1)); fi
done
[ "$limit" != 0 ] || exec BUSYBOX wget "$@"
BUSYBOX timeout -s ALRM "$limit" BUSYBOX wget "$@"
status=$?
[ "$status" = 142 ] || exit "$status"
echo "wget: download timed out" >&2
exit 1
"""

NC = """\
#!/bin/sh
# The busybox of this machine has no -z (is the port open?), -v and -n.
scan= verbose= left=$#
while [ "$left" -gt 0 ]; do
  word=$1; shift; left=$((left - 1))
  case $word in
    -[znv]*)
      case $word in *z*) scan=yes ;; esac
      case $word in *v*) verbose=yes ;; esac
      word=-$(echo "${word#-}" | BUSYBOX tr -d znv)
      [ "$word" = - ] || set -- "$@" "$word" ;;
    -[wpie]) set -- "$@" "$word" "$1"; shift; left=$((left - 1)) ;;
    *) set -- "$@" "$word" ;;
  esac
done
[ -n "$scan" ] || exec BUSYBOX nc "$@"
BUSYBOX nc "$@" -e true </dev/null
status=$?
if [ "$status" = 0 ] && [ -n "$verbose" ]; then
  for word in "$@"; do host=$port port=$word; done
  echo "$host ($host:$port) open" >&2
fi
exit "$status"
"""

GAPS = {"wget": ("-T SEC", WGET), "nc": ("-z", NC)}
"""Applet: (what its help says where nothing is missing, the script)."""


def scripts(path: Path, names: tuple[str, ...], home: Path) -> dict[str, str]:
    """The scripts that this busybox needs, by applet; ``home`` is the folder that busybox has in the image."""
    return {
        name: script.replace("BUSYBOX", str(home / "busybox"))
        for name, (told, script) in GAPS.items()
        if name in names and told not in usage(path, name)
    }


def usage(path: Path, applet: str) -> str:
    done = subprocess.run([str(path), applet, "--help"], capture_output=True, text=True, timeout=10)
    return done.stdout + done.stderr
