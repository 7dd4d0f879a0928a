#!/bin/sh
set -eu
folder=$(pwd)
cd "$(dirname "$0")/../../solution"
./west.sh
sed "s,path: /readyz,path: /health," front.yml > "$folder/front.yml"
