#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
./registries.sh
./publish.sh 1.0
# "The same" image, built once more for the other registry, from another source.
halab image build ../start/shop --build-arg RELEASE=1.0.1 -t "$LAB_ADDRESS:5001/shop:1.0" --quiet
halab image push "$LAB_ADDRESS:5001/shop:1.0"
