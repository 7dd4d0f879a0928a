#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/name: shop-v2/name: shop-v3/' shop.yaml | kubectl apply -f -
