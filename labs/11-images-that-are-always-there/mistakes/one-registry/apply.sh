#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
halab image registry start first --address "$LAB_ADDRESS:5000"
halab image build ../start/shop -t "$LAB_ADDRESS:5000/shop:1.0" --quiet
halab image push "$LAB_ADDRESS:5000/shop:1.0"
