#!/usr/bin/env bash
# Writes small valid recordings, from which the fuzzers of the audio wrappers start, to DIRECTORY/TARGET.
# Needs ffmpeg. Usage: tests/fuzz/seeds.sh DIRECTORY
set -euo pipefail
fixtures=$(cd "$(dirname "${BASH_SOURCE[0]}")/../fixtures" && pwd)
mkdir -p "$1"
cd "$1"
mkdir -p audio_riff audio_mp4 audio_matroska audio_ogg audio_mpeg

# tone CHANNELS RATE SECONDS ARGUMENTS...
tone() {
    local channels=$1 rate=$2 seconds=$3
    shift 3
    ffmpeg -nostdin -loglevel error -y -f lavfi -i "sine=440:r=$rate:d=$seconds" -ac "$channels" \
        -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$@"
}

for codec in pcm_u8 pcm_s16le pcm_s24le pcm_s32le pcm_f32le pcm_f64le pcm_alaw pcm_mulaw adpcm_ms adpcm_ima_wav mp2 mp3; do
    tone 1 8000 0.1 -c:a "$codec" "audio_riff/$codec.wav"
done
tone 2 8000 0.1 -c:a pcm_s16le audio_riff/stereo.wav
tone 6 8000 0.05 -c:a pcm_s16le audio_riff/six.wav
tone 2 8000 0.1 -c:a pcm_s16le -rf64 always audio_riff/rf64.wav
tone 1 8000 0.1 -c:a pcm_s16le -metadata title=Name audio_riff/tags.wav
for codec in pcm_s8 pcm_s16be pcm_s24be pcm_f32be pcm_mulaw adpcm_ima_qt; do
    tone 1 8000 0.1 -c:a "$codec" "audio_riff/$codec.aiff"
done
tone 1 8000 0.1 -c:a pcm_s16le -f aiff audio_riff/sowt.aifc
for codec in pcm_s16be pcm_alaw alac adpcm_ima_qt; do
    tone 2 8000 0.1 -c:a "$codec" "audio_riff/$codec.caf"
done
tone 1 16000 0.1 -c:a flac -metadata_header_padding 16 audio_riff/mono.flac
tone 2 8000 0.1 -c:a flac -compression_level 12 -metadata_header_padding 16 -metadata title=Name audio_riff/stereo.flac

tone 1 16000 0.3 -c:a aac audio_mp4/aac.m4a
tone 2 16000 0.3 -c:a aac -movflags faststart -metadata title=Name audio_mp4/faststart.m4a
tone 1 16000 0.3 -c:a aac -movflags frag_keyframe+empty_moov -frag_duration 100000 audio_mp4/fragments.mp4
tone 1 16000 0.3 -c:a aac -movflags frag_keyframe+empty_moov+default_base_moof+dash -frag_duration 100000 audio_mp4/dash.mp4
tone 2 16000 0.1 -c:a alac audio_mp4/alac.m4a
tone 1 16000 0.2 -c:a mp3 audio_mp4/mp3.mp4
tone 1 48000 0.1 -c:a libopus audio_mp4/opus.mp4
tone 1 16000 0.1 -c:a flac -strict experimental audio_mp4/flac.mp4
tone 1 8000 0.1 -c:a pcm_s16le audio_mp4/pcm.mov
tone 1 8000 0.1 -c:a pcm_mulaw audio_mp4/mulaw.mov
tone 1 8000 0.1 -c:a adpcm_ima_qt audio_mp4/ima4.mov
tone 1 16000 0.2 -c:a ac3 audio_mp4/ac3.mp4
tone 1 16000 0.2 -map 0 -map 0 -c:a aac -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu audio_mp4/tracks.m4a
tone 1 16000 0.2 -af adelay=50 -c:a aac -output_ts_offset 0.5 audio_mp4/late.m4a
cp "$fixtures"/audio/silent-video.mp4 audio_mp4/video.mp4

tone 1 48000 0.1 -c:a libopus audio_matroska/opus.webm
tone 2 48000 0.1 -c:a libopus -live 1 audio_matroska/live.webm
tone 1 16000 0.1 -c:a libvorbis audio_matroska/vorbis.webm
tone 2 16000 0.2 -c:a aac -metadata title=Name audio_matroska/aac.mkv
tone 1 16000 0.2 -c:a mp3 audio_matroska/mp3.mkv
tone 1 16000 0.1 -c:a flac audio_matroska/flac.mkv
tone 1 8000 0.1 -c:a pcm_s16le audio_matroska/pcm.mkv
tone 1 8000 0.1 -c:a pcm_f32le audio_matroska/float.mkv
tone 1 16000 0.1 -c:a mp2 audio_matroska/mp2.mkv
tone 1 16000 0.1 -c:a ac3 audio_matroska/ac3.mkv
tone 2 16000 0.1 -c:a alac audio_matroska/alac.mkv
tone 1 16000 0.2 -map 0 -map 0 -c:a:0 ac3 -c:a:1 aac -metadata:s:a:1 language=deu audio_matroska/tracks.mkv
tone 1 16000 0.2 -c:a aac -output_ts_offset 0.5 audio_matroska/late.mkv
cp "$fixtures"/audio/silent-video.webm audio_matroska/video.webm

tone 1 48000 0.1 -c:a libopus audio_ogg/opus.ogg
tone 2 48000 0.2 -c:a libopus -page_duration 20000 audio_ogg/pages.ogg
tone 1 48000 0.1 -c:a libopus -frame_duration 60 -application voip -metadata title=Name audio_ogg/voip.opus
tone 6 48000 0.1 -c:a libopus audio_ogg/surround.opus
tone 1 16000 0.1 -c:a libvorbis audio_ogg/vorbis.ogg
tone 2 16000 0.2 -c:a libvorbis audio_ogg/stereo.ogg
tone 1 16000 0.1 -c:a flac audio_ogg/flac.oga
tone 1 16000 0.1 -c:a libspeex audio_ogg/speex.ogg || rm -f audio_ogg/speex.ogg
cat audio_ogg/opus.ogg audio_ogg/vorbis.ogg >audio_ogg/joined.ogg
cat audio_ogg/opus.ogg audio_ogg/pages.ogg >audio_ogg/chained.ogg

tone 1 16000 0.2 -c:a aac -f adts audio_mpeg/mono.aac
tone 2 44100 0.1 -c:a aac -f adts audio_mpeg/stereo.aac
tone 1 16000 0.2 -c:a mp3 -b:a 16k audio_mpeg/xing.mp3
tone 2 44100 0.1 -c:a mp3 -q:a 9 -write_xing 0 audio_mpeg/vbr.mp3
tone 2 44100 0.1 -c:a mp3 -joint_stereo 0 -b:a 64k -id3v2_version 3 -metadata title=Name -write_id3v1 1 audio_mpeg/tags.mp3
tone 1 44100 0.1 -c:a mp2 -b:a 64k audio_mpeg/mono.mp2
tone 2 22050 0.1 -c:a mp2 -b:a 32k audio_mpeg/stereo.mp2
cat audio_mpeg/xing.mp3 audio_mpeg/xing.mp3 >audio_mpeg/joined.mp3
cat audio_mpeg/mono.aac audio_mpeg/stereo.aac >audio_mpeg/joined.aac
