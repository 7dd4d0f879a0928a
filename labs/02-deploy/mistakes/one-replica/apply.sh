#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed '/replicas: 3/d' deployment.yaml | kubectl apply -f -
