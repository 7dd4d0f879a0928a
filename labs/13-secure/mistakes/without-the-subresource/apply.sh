#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's,deployments/scale,deployments,' robot.yaml | kubectl apply -f -
