#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed '/path: \/shop/{n;s/Prefix/Exact/}' ingress.yaml | kubectl apply -f -
