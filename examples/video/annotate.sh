#!/usr/bin/env bash
# A video file with its faces drawn in and followed: ffmpeg decodes, retinaface finds and draws, ffmpeg encodes and keeps the sound.
#
#   examples/video/annotate.sh IN.mp4 OUT.mp4 [options of `retinaface video`, for example --max-side 640 --threads 4]
#
# Beside OUT.mp4 lies OUT.mp4.jsonl, a JSON line a frame. RETINAFACE names the tool, FFMPEG ffmpeg (default: what PATH finds).
set -euo pipefail

[ $# -ge 2 ] || {
    echo "usage: $0 IN OUT [options]" >&2
    exit 2
}
input=$1 output=$2
shift 2
tool=${RETINAFACE:-retinaface} ffmpeg=${FFMPEG:-ffmpeg}

"$ffmpeg" -nostdin -loglevel error -i "$input" -an -pix_fmt yuv420p -f yuv4mpegpipe - |
    "$tool" video --track --smooth --json "$output.jsonl" --draw - "$@" |
    "$ffmpeg" -nostdin -loglevel error -y -f yuv4mpegpipe -i - -i "$input" -map 0:v -map '1:a?' -pix_fmt yuv420p "$output"
