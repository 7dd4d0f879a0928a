#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/targetPort: 80/targetPort: 8080/' service.yaml | kubectl apply -f -
