#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
./member.sh 1
./member.sh 2
