#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/app: nginx/app: ngnix/' service.yaml | kubectl apply -f -
