#!/bin/sh
# Puts the Autobahn test suite (wstest) into the folder $1, where it is not there yet. It needs Python 2.7.
set -eu
folder=$1
if [ -x "$folder/bin/wstest" ]; then exit 0; fi
python=
for candidate in "${PYTHON27:-}" python2.7 "$HOME"/.pyenv/versions/2.7.*/bin/python "${PYENV_ROOT:-/opt/pyenv}"/versions/2.7.*/bin/python; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Autobahn needs Python 2.7: 'pyenv install 2.7.18', or name one in PYTHON27" >&2
    exit 1
fi
rm -rf "$folder" "$folder.tool"
PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_DISABLE_PIP_VERSION_CHECK
# virtualenv goes into a folder of its own: the interpreter is left as it is
"$python" -m pip install -q --target "$folder.tool" virtualenv==20.15.1 2>/dev/null
PYTHONPATH="$folder.tool" "$python" -m virtualenv -q "$folder"
"$folder/bin/pip" install -q autobahntestsuite==0.8.2 2>/dev/null
rm -rf "$folder.tool"
test -x "$folder/bin/wstest"
