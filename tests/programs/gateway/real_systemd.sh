#!/bin/sh
# Runs systemd as the first process of namespaces of its own, with the units of the folder $1, which
# it finds at /run/shared. What it mounts, cleans up or kills is inside.
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/shared /run/lock
mount --bind "$1" /run/shared
for folder in /tmp /var/tmp /var/log /etc/systemd/system; do
    mount -t tmpfs tmpfs "$folder"
done
cp /run/shared/*.service /etc/systemd/system/
export container=docker
exec /lib/systemd/systemd --system --unit=basic.target --log-target=null --show-status=no
