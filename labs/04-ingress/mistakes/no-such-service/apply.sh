#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/name: nginx-service/name: nginx-svc/' ingress.yaml | kubectl apply -f -
