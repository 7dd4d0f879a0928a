#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed '/- namespaceSelector/,$d; ' web-policy.yaml | sed '$d' | kubectl apply -f -
