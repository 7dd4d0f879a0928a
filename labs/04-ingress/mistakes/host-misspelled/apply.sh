#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/nginx.example.com/nginx.exmaple.com/' ingress.yaml | kubectl apply -f -
