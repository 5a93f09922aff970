#!/bin/sh
# Prints how many of the recordings have a transcript below a prefix: transcripts.sh PREFIX NUMBER
# Asks for each, because curl 7.88 of Debian 12 signs listings wrongly.
set -eu
found=0
for recording in $(seq "$2"); do
    if curl --silent --fail --output /dev/null --head --aws-sigv4 aws:amz:us-east-1:s3 \
        --user "$S3_ACCESS_KEY:$S3_SECRET_KEY" --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
        "$S3/acceptance/$1/$recording.ogg.json"; then
        found=$((found + 1))
    fi
done
echo "$found"
