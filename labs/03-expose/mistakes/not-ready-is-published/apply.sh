#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/^spec:/spec:\n  publishNotReadyAddresses: true/' service.yaml | kubectl apply -f -
