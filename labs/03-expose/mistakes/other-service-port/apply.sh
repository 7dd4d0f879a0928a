#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/ port: 80/ port: 8080/' service.yaml | kubectl apply -f -
