# Sourced by bin/fleet and bin/test: makes sure that $root/.venv stands; must never run when it already does.

environment_stands() {
    [ -x "$root/.venv/bin/python" ] && cmp -s "$root/requirements.lock" "$root/.venv/requirements.lock"
}

# A Python that is new enough, really starts (version managers leave stubs) and can make an environment.
can_build() {
    "$1" -I -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3 \
        /usr/local/bin/python3 /opt/homebrew/bin/python3; do
        if can_build "$name"; then
            echo "$name"
            return 0
        fi
    done
    echo "fleet: found no Python 3.11 or newer that can make an environment (module venv with ensurepip)." >&2
    echo "fleet: Debian, Ubuntu: apt-get install python3-venv   macOS: brew install python@3.13   others: python.org" >&2
    return 1
}

make_environment() {
    environment_stands || { python=$(find_python) && "$python" -I "$root/bin/environment.py"; }
}
