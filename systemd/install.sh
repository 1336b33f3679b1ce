#!/bin/sh
# Installs agent.pyz as a systemd service, or brings an installed one up to date; run it as often as you like, as root:
#   DOCKPAL_MODE=direct DOCKPAL_TOKEN=<token> systemd/install.sh [path of agent.pyz]
#   DOCKPAL_MODE=edge DOCKPAL_EDGE_SERVER=wss://… DOCKPAL_TOKEN=<token> systemd/install.sh [path of agent.pyz]
# Settings live in /etc/dockpal-agent/agent.env (0600). Where that file is missing, every DOCKPAL_* variable goes into it;
# where it is there, it stays as it is.
# DESTDIR=<folder> installs below that folder and touches no user and no service.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
file=${1:-}
for candidate in "$here/agent.pyz" "$here/../dist/agent.pyz"; do
    [ -n "$file" ] || { [ -f "$candidate" ] && file=$candidate; } || true
done
DESTDIR=${DESTDIR:-}
library=$DESTDIR/usr/local/lib/dockpal-agent
settings=$DESTDIR/etc/dockpal-agent/agent.env
data=$DESTDIR/opt/dockpal-agent

fail() { echo "install.sh: $*" >&2; exit 1; }

# A value as systemd reads it in an EnvironmentFile (systemd.exec(5)): in quotes where it has more than plain characters.
quoted() {
    case $1 in
        *[!A-Za-z0-9_.,:/@%+=-]*) printf '"%s"' "$(printf %s "$1" | sed 's/[\\"`$]/\\&/g')" ;;
        *) printf %s "$1" ;;
    esac
}

[ -n "$file" ] && [ -f "$file" ] || fail "no agent.pyz found; give its path (python3 build.py makes dist/agent.pyz)"
[ -n "$DESTDIR" ] || [ "$(id -u)" = 0 ] || fail "run it as root"
python=python3
[ -n "$DESTDIR" ] || python=/usr/bin/python3 # the one that the service is started with
"$python" -I -S "$file" version >/dev/null || fail "$python cannot run $file; Python 3.9 or newer is needed"
command -v openssl >/dev/null || fail "the openssl program is missing (direct mode makes its certificate with it)"
if [ -f "$file.sha256" ]; then
    (cd "$(dirname "$file")" && sha256sum --quiet -c "$(basename "$file").sha256") || fail "$file is damaged"
fi

if [ -z "$DESTDIR" ]; then
    getent group docker >/dev/null || fail "there is no group docker; is Docker installed?"
    getent passwd dockpal-agent >/dev/null ||
        useradd --system --user-group --home-dir /opt/dockpal-agent --no-create-home --shell /usr/sbin/nologin dockpal-agent
fi

mkdir -p "$library" "$(dirname "$settings")" "$data" "$DESTDIR/etc/systemd/system"
chmod 0700 "$(dirname "$settings")" "$data"

# By a rename: a running agent reads on from the old file until it is restarted.
cp "$file" "$library/.agent.pyz.new"
chmod 0755 "$library/.agent.pyz.new"
mv -f "$library/.agent.pyz.new" "$library/agent.pyz"

if [ ! -f "$settings" ]; then
    [ -n "${DOCKPAL_MODE:-}" ] && [ -n "${DOCKPAL_TOKEN:-}${DOCKPAL_TOKEN_FILE:-}" ] ||
        fail "set DOCKPAL_MODE (direct or edge) and DOCKPAL_TOKEN (or DOCKPAL_TOKEN_FILE) for the first installation"
    [ "$DOCKPAL_MODE" != edge ] || [ -n "${DOCKPAL_EDGE_SERVER:-}${DOCKPAL_SERVER:-}" ] ||
        fail "set DOCKPAL_EDGE_SERVER, which edge mode needs"
    (
        umask 077
        for name in $(env | sed -n 's/^\(DOCKPAL_[A-Z_]*\)=.*/\1/p' | sort); do
            eval "value=\${$name:-}"
            [ -z "$value" ] || printf '%s=%s\n' "$name" "$(quoted "$value")"
        done >"$settings.new"
        mv "$settings.new" "$settings"
    )
elif [ -n "${DOCKPAL_MODE:-}${DOCKPAL_TOKEN:-}" ]; then
    echo "install.sh: $settings stays as it is; to change a setting, edit it and run this again"
fi

cp "$here/dockpal-agent.service" "$DESTDIR/etc/systemd/system/dockpal-agent.service"
chmod 0644 "$DESTDIR/etc/systemd/system/dockpal-agent.service"

if [ -n "$DESTDIR" ]; then
    echo "installed below $DESTDIR"
    exit 0
fi
chown -R dockpal-agent:dockpal-agent /opt/dockpal-agent
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable --quiet dockpal-agent.service
    systemctl restart dockpal-agent.service
    echo "installed and running; journalctl -u dockpal-agent shows what it says"
else
    echo "installed; systemd does not run here, so nothing was started"
fi
