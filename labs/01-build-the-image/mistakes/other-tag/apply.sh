#!/bin/sh
set -eu
cp "$(dirname "$0")/../../solution/article/Dockerfile" article/Dockerfile
halab image build -t my-nginx article
