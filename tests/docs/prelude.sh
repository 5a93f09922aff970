# shellcheck shell=bash
# What the blocks of the documentation may use in place of the reader's own services.

# s3 METHOD PATH [FILE]: a request to the test's S3 server.
s3() {
    curl --silent --show-error --fail --output /dev/null --user "$S3_CREDENTIALS" --aws-sigv4 aws:amz:us-east-1:s3 \
        --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' --request "$1" ${3:+--data-binary "@$3"} \
        "$SCRIPTORIUM__STORE__S3__ENDPOINT/$2"
}

# Creates the buckets that the pages name, with two recordings.
buckets() {
    local bucket
    for bucket in archive recordings transcripts; do
        s3 PUT "$bucket"
    done
    s3 PUT archive/2024/a.wav "$FIXTURES/sentence.wav"
    s3 PUT archive/calls/b.wav "$FIXTURES/sentence.wav"
    s3 PUT recordings/calls/0042.wav "$FIXTURES/sentence.wav"
}

# The id of the batch that was submitted last.
last_batch() {
    find "$HOME/.local/state/scriptorium/batches" -type f -printf '%T@ %f\n' | sort -n | tail -n 1 | cut -d ' ' -f 2
}
