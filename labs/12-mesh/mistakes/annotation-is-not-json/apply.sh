#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl annotate service bank halab.dev/traffic='ejectAfter: 3' --overwrite
