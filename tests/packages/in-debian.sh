#!/bin/sh
# Runs in a minimal Debian: installs, upgrades, removes and purges /tmp/new.deb. Prints the version.
set -eu
dpkg --install /tmp/new.deb >/dev/null
scriptorium --version
scriptorium config | grep -q '/var/lib/scriptorium/models.*config.toml'
[ "$(stat -c '%a %U' /etc/default/scriptorium)" = '640 root' ]
# What an administrator changed survives a new version, and the removal.
echo '# changed' >>/etc/scriptorium/config.toml
dpkg --install /tmp/new.deb >/dev/null
dpkg --remove scriptorium >/dev/null
grep -q '# changed' /etc/scriptorium/config.toml
mkdir -p /var/lib/scriptorium/models
touch /var/lib/scriptorium/models/model.bin
dpkg --purge scriptorium >/dev/null
left=$(find / -xdev -name '*scriptorium*' ! -path '/proc/*' ! -path '/var/log/*')
[ -z "$left" ] || {
    echo "left behind: $left" >&2
    exit 1
}
