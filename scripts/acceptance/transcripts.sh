#!/bin/sh
# Prints the number of transcripts below a prefix of the bucket `acceptance`: transcripts.sh PREFIX
set -eu
curl --silent --show-error --fail --aws-sigv4 aws:amz:us-east-1:s3 \
    --user "$S3_ACCESS_KEY:$S3_SECRET_KEY" --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
    "$S3/acceptance?list-type=2&prefix=$1" | grep -o "<Key>${1}[^<]*\.ogg\.json</Key>" | wc -l
