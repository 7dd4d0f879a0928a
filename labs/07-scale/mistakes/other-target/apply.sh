#!/bin/sh
set -eu
here=$(cd "$(dirname "$0")/../../solution" && pwd)
sed 's/    name: web/    name: wbe/' "$here/hpa.yaml" | kubectl apply -f "$here/web.yaml" -f -
