#!/bin/sh
# Builds the ffmpeg of the image: ffmpeg.sh amd64|arm64 OUTPUT. Runs in a stage of the Dockerfile, on Debian.
#
# Debian's package brings 500 MB of libraries, for pictures, devices and networks. This program is built of Debian's
# source (so that Debian's security updates are in it), with the demuxers that the worker asks for
# (crates/audio/src/identify.rs) and all decoders of sound, and nothing else: 6 MB, and no network in it.
set -eu
architecture=$1
output=$2

demuxers=aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,matroska,mov,mp3,mpc,mpc8
demuxers=$demuxers,mpegps,mpegts,nistsphere,ogg,qcp,rm,shorten,truehd,tta,voc,w64,wav,wv,xwma

case $architecture in
amd64) triple=x86_64-linux-gnu machine=x86_64 ;;
arm64) triple=aarch64-linux-gnu machine=aarch64 ;;
*) echo "ffmpeg.sh: unknown architecture $architecture" >&2 && exit 2 ;;
esac

# Without these, zlib is linked statically: the image does not have it.
rm -f /usr/lib/*-linux-gnu/libz.so

apt-get source --quiet=2 ffmpeg
cd ffmpeg-*/
decoders=$(sed -n '/^\/\* audio codecs/,/^\/\* subtitles/s/.* ff_\(.*\)_decoder;/\1/p' libavcodec/allcodecs.c |
    paste -sd ,)
# What Debian adds to the version: recordings that ffmpeg decodes are transcribed again after an update.
revision=$(dpkg-parsechangelog --show-field Version | sed 's/.*-//')

./configure --enable-cross-compile --cross-prefix="$triple-" --arch="$machine" --target-os=linux \
    --extra-version="$revision" --disable-autodetect --enable-zlib \
    --disable-everything --disable-doc --disable-debug --disable-network --disable-avdevice --disable-swscale \
    --disable-ffplay --disable-ffprobe --disable-x86asm \
    --enable-protocol=file,pipe --enable-demuxer="$demuxers" --enable-decoder="$decoders" --enable-parsers \
    --enable-filter=aresample --enable-encoder=pcm_f32le --enable-muxer=wav
make -j"$(nproc)" ffmpeg
"$triple-strip" ffmpeg
install -D -m 755 ffmpeg "$output/ffmpeg"
# The licence (LGPL 2.1 or later), and where its source is.
install -D -m 644 debian/copyright "$output/copyright"
