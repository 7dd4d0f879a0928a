#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f ingress.yaml
