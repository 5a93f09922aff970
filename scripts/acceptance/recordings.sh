#!/bin/sh
# Puts recordings of speech into the bucket `acceptance`: recordings.sh NUMBER MINUTES. Needs Debian; runs in the
# pod `tools`. S3, S3_ACCESS_KEY and S3_SECRET_KEY say where.
set -eu
number=$1 minutes=$2
clips=/usr/share/pocketsphinx/test/data/librivox

# curl 7.88 of Debian 12 signs requests to S3 only with this header.
s3() {
    curl --silent --show-error --fail --retry 5 --retry-connrefused --aws-sigv4 aws:amz:us-east-1:s3 \
        --user "$S3_ACCESS_KEY:$S3_SECRET_KEY" --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$@"
}

if ! command -v sox >/dev/null || [ ! -d "$clips" ] || ! command -v curl >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ca-certificates curl pocketsphinx-testdata sox >/dev/null
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The clips again and again. Ogg, because ten recordings of half an hour have to fit.
sox "$clips"/*.wav "$work/once.wav"
seconds=$(soxi -D "$work/once.wav" | cut -d . -f 1)
sox "$work/once.wav" -C 2 "$work/recording.ogg" repeat $((minutes * 60 / seconds))

s3 --request PUT "$S3/acceptance" || s3 --head "$S3/acceptance" >/dev/null
for recording in $(seq "$number"); do
    s3 --upload-file "$work/recording.ogg" "$S3/acceptance/in/$recording.ogg"
done
echo "$number recordings of $minutes minutes"
