#!/bin/sh
# The command `danbao` in the image.
exec python -m services.cli "$@"
