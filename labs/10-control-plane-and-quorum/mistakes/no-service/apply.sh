#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed '/^---/,$d' web.yaml | kubectl apply -f -
