#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/shop.mesh.example/shop.example.com/' shop.yaml | kubectl apply -f -
