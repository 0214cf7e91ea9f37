#!/usr/bin/env bash
# The whole training of the shipped weights: a first run from the ImageNet backbone, nine more from where earlier ones ended, and the
# weights file: the mean of the last two's ends.
# Stopped at any time, it goes on from there when called again. README.md says what the arguments are, why ten runs, and what the
# first three lacked when the shipped weights were made.
#
#   tools/train/run.sh DATA BACKBONE TEACHER OUT      writes OUT/retinaface_mobilenet025.safetensors; PYTHON names the interpreter
set -euo pipefail
[ $# -eq 4 ] || {
    echo "usage: $0 DATA BACKBONE TEACHER OUT" >&2
    exit 2
}
here=$(cd "$(dirname "$0")" && pwd)

# glibc may keep the memory it has: 5 % of the time.
export MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_TOP_PAD_=1000000000
data=$1 backbone=$2 teacher=$3 out=$4

# run NAME OPTION...: one training, unless it is done already.
run() {
    local folder=$out/$1
    shift
    [ ! -f "$folder/final.pth" ] || return 0
    "${PYTHON:-python3}" "$here/train.py" --data "$data" --eval-data "$data" --teacher "$teacher" --processes 2 --out "$folder" "$@"
    [ -f "$folder/final.pth" ] || {
        echo "stopped in $folder: the same command goes on from there" >&2
        exit 1
    }
}

run first --backbone "$backbone" --lr 3e-3 --landmark-weight 0.9 --landmark-size-power 1 --minutes 100 --snapshot-minutes 12
run second --init "$out/first/final.pth" --seed 2 --lr 2e-3 --crop-shares 0.56 0.34 0.10 --plain-end 0.2 \
    --minutes 112 --snapshot-minutes 15
run third --init "$out/second/final.pth" --seed 3 --lr 1e-3 --crop-shares 0.42 0.40 0.18 --landmark-weight 3 --plain-end 0.4 \
    --minutes 23 --snapshot-minutes 40
run fourth --init "$out/third/final.pth" --seed 4 --lr 1.5e-3 --crops 256 512 768 1024 --crop-shares 0.32 0.34 0.22 0.12 \
    --landmark-weight 4 --landmark-centred-power 1.5 --distill-landmark 2.2 --plain-end 0.4 --ema 0.999 \
    --minutes 78 --snapshot-minutes 19
run fifth --init "$out/third/final.pth" "$out/fourth/final.pth" --init-shares 0.3 0.7 --seed 5 --lr 1e-3 \
    --crops 256 512 768 1024 --crop-shares 0.36 0.36 0.20 0.08 --iou-weight 3 --landmark-weight 3 --landmark-centred-power 1.5 \
    --plain-end 0.5 --ema 0.998 --minutes 25 --snapshot-minutes 100
run sixth --init "$out"/{third,fourth,fifth}/final.pth --init-shares 0.3 0.3 0.4 --seed 6 --lr 2e-3 \
    --crops 256 512 768 1024 --crop-shares 0.36 0.34 0.19 0.11 --box-weight 1.5 --iou-weight 4 --landmark-weight 3.5 \
    --landmark-centred-power 1.5 --distill-landmark 0.6 --plain-end 0.4 --ema 0.999 --minutes 100 --snapshot-minutes 24
run seventh --init "$out/sixth/final.pth" --only LandmarkHead.2 BboxHead.2 --seed 9 --lr 1.5e-3 \
    --crops 256 512 768 1024 --crop-shares 0.25 0.40 0.25 0.10 --source-weights large=2.5 varied=1.8 --box-weight 1.5 \
    --iou-weight 4 --landmark-weight 4 --landmark-centred-power 3 --distill-landmark 0 --plain-end 1 --ema 0.998 \
    --minutes 18 --snapshot-minutes 6
run eighth --init "$out/seventh/final.pth" --only body fpn ssh1 ssh2 ssh3 ClassHead BboxHead LandmarkHead --seed 10 --lr 1e-3 \
    --crops 256 512 768 1024 --crop-shares 0.32 0.36 0.21 0.11 --source-weights large=2.5 varied=1.8 --box-weight 1.5 \
    --iou-weight 4 --landmark-weight 4 --landmark-centred-power 2 --distill-landmark 0.6 --plain-end 0.4 --ema 0.999 \
    --minutes 86 --snapshot-minutes 20
run ninth --init "$out/eighth/final.pth" --only body fpn ssh1 ssh2 ssh3 ClassHead BboxHead LandmarkHead --seed 11 --lr 1e-3 \
    --crops 256 512 768 1024 --crop-shares 0.28 0.38 0.22 0.12 --source-weights large=2.5 varied=2.2 --box-weight 1.5 \
    --iou-weight 4 --landmark-weight 7 --landmark-size-power 3 --landmark-centred-power 3 --distill-landmark 0.6 \
    --plain-end 0.4 --ema 0.999 --minutes 88 --snapshot-minutes 22
run tenth --init "$out/ninth/final.pth" --only ssh2 ssh3 {Class,Bbox,Landmark}Head.{1,2} --seed 21 --lr 1.2e-3 \
    --crops 256 512 768 1024 --crop-shares 0.22 0.40 0.26 0.12 --source-weights large=2.5 varied=2.2 --box-weight 1.5 \
    --iou-weight 4 --landmark-weight 7 --landmark-size-power 3 --landmark-centred-power 3 --distill-landmark 0.6 \
    --plain-end 0.6 --ema 0.999 --minutes 36 --snapshot-minutes 18
"${PYTHON:-python3}" "$here/export.py" "$out"/{ninth,tenth}/final.pth --shares 0.65 0.35 --half-score 0.88 --dtype f16 --quiet \
    -o "$out/retinaface_mobilenet025.safetensors" --version 0.9.0 \
    --source "trained by this project with tools/train; landmarks distilled from biubug6 mobilenet0.25 (WIDER FACE); backbone started from ImageNet" \
    --licence "MIT; trained on photographs without a licence to redistribute, see weights/MODEL_CARD.md"
