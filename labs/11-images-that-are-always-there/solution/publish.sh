#!/bin/sh
# publish.sh VERSION: build shop:VERSION, push it to both registries, print its digest.
set -eu
start="$(cd "$(dirname "$0")" && pwd)/../start"
halab image build "$start/shop" --build-arg "RELEASE=$1" -t "shop:$1" --quiet > /dev/null
for port in 5000 5001; do
    halab image tag "shop:$1" "$LAB_ADDRESS:$port/shop:$1"
    pushed=$(halab image push "$LAB_ADDRESS:$port/shop:$1" --json 2> /dev/null)
done
printf '%s\n' "$pushed" | grep -o 'sha256:[0-9a-f]*'
