#!/bin/bash -eu
exec "$SRC/snapshot-receiver/fuzz/build.sh"
