#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/port: 8080/port: 80/' ledger-policy.yaml | kubectl apply -f -
