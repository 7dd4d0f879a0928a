#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's,    - from:,    - from:\n        - namespaceSelector: {},' ledger-policy.yaml | kubectl apply -f -
