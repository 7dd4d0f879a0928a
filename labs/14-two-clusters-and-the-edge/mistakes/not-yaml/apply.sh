#!/bin/sh
set -eu
folder=$(pwd)
cd "$(dirname "$0")/../../solution"
./west.sh
sed "s/connect_timeout: 0.25s/connect_timeout: soon/" front.yml > "$folder/front.yml"
