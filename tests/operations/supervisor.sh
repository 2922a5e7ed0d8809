#!/bin/sh
# Runs a program as deploy/rdpm.service does (Restart=on-failure, RestartPreventExitStatus=2): starts it again after a
# failure, not after status 0 or 2. Prints each process id and status. Passes SIGTERM on.
trap 'kill "$process"' TERM
while true; do
    "$@" &
    process=$!
    echo "started $process"
    wait "$process"
    status=$?
    # A signal ends `wait` first.
    while kill -0 "$process" 2>/dev/null; do
        wait "$process"
        status=$?
    done
    echo "ended with $status"
    case $status in 0 | 2) exit "$status" ;; esac
    sleep 0.2
done
