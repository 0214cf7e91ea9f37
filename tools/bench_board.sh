#!/bin/sh
# What the owner of a board runs to get the real table: frame times of every combination of cores, sizes and threads.
#
#   bench_board.sh FRAME WEIGHTS [FRAMES]
#
# FRAME is bench/mca/frame.cpp compiled for the board (bench/ARM.md), WEIGHTS a weights file. Nothing needs to be installed. The
# table is Markdown, to be pasted into README. Close other programs, give the board a fan, set the clocks first where you may:
#   echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor
set -eu

if [ $# -lt 2 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 2
fi
frame=$1 weights=$2 frames=${3:-60}

read_or() { if [ -r "$1" ]; then tr -d '\0' <"$1"; else printf '%s' "$2"; fi; }

# Cores by their maximal clock: the fastest group are the big cores.
big= most=0 all= others=
for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
    [ -r "$cpu/cpufreq/cpuinfo_max_freq" ] || continue
    number=${cpu##*cpu}
    clock=$(cat "$cpu/cpufreq/cpuinfo_max_freq")
    all="$all $number:$clock"
    if [ "$clock" -gt "$most" ]; then most=$clock; fi
done
for entry in $all; do
    if [ "${entry#*:}" = "$most" ]; then big="$big${big:+,}${entry%%:*}"; else others="$others${others:+,}${entry%%:*}"; fi
done
if [ -z "$big" ]; then big=$(seq -s, 0 $(($(nproc) - 1))); fi

count() { printf '%s\n' "$1" | tr ',' '\n' | grep -c .; }
first() { printf '%s\n' "$1" | cut -d, -f1; }
temperature() {
    hottest=0
    for zone in /sys/class/thermal/thermal_zone*/temp; do
        [ -r "$zone" ] || continue
        value=$(cat "$zone" 2>/dev/null || echo 0)
        if [ "$value" -gt "$hottest" ]; then hottest=$value; fi
    done
    echo "$((hottest / 1000)) C"
}

echo "Board: $(read_or /proc/device-tree/model 'unknown'); kernel $(uname -r); big cores $big at $((most / 1000)) MHz${others:+; others $others};" \
    "governor $(read_or /sys/devices/system/cpu/cpu"$(first "$big")"/cpufreq/scaling_governor unknown | tr -d '\n')"
echo
echo "| size | cores | threads | median ms | best ms | temperature |"
echo "|---|---|---|---|---|---|"
row() { # width height cores threads name
    line=$(taskset -c "$3" "$frame" "$weights" "$1" "$2" "$frames" "$4") || { echo "| $1 x $2 | $5 | $4 | failed | | |"; return; }
    median=$(printf '%s\n' "$line" | sed 's/.*median \([0-9.]*\) ms.*/\1/')
    best=$(printf '%s\n' "$line" | sed 's/.*best \([0-9.]*\) ms.*/\1/')
    echo "| $1 x $2 | $5 | $4 | $median | $best | $(temperature) |"
}
for size in "320 240" "640 480" "1920 1080"; do
    # Two words, width and height.
    # shellcheck disable=SC2086
    set -- $size
    row "$1" "$2" "$(first "$big")" 1 "1 big"
    if [ "$(count "$big")" -ge 2 ]; then row "$1" "$2" "$(printf '%s' "$big" | cut -d, -f1-2)" 2 "2 big"; fi
    if [ "$(count "$big")" -gt 2 ]; then row "$1" "$2" "$big" "$(count "$big")" "all big"; fi
    if [ -n "$others" ]; then
        row "$1" "$2" "$(first "$others")" 1 "1 small"
        row "$1" "$2" "$others" "$(count "$others")" "all small"
        row "$1" "$2" "$big,$others" "$(($(count "$big") + $(count "$others")))" "all"
    fi
done
