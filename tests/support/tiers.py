"""Which programs each tier of tests needs and which Debian package has them; must never install anything.

`python -m tests.support.tiers [TIER]` prints the missing packages, for bin/test. A test says `@pytest.mark.tier("ssh")`;
tests/conftest.py skips it by name where the tier cannot run, and fails it under CI=true.
"""

import os
import shutil
import sys

TIERS: dict[str, dict[str, str]] = {
    "git": {"git": "git"},
    "ssh": {"sshd": "openssh-server", "ssh": "openssh-client"},
    "terminal": {"tmux": "tmux"},
    "systemd": {"systemd-analyze": "systemd"},
    "ide": {"node": "nodejs", "npm": "npm", "tmux": "tmux"},
    "hosts": {"ip": "iproute2", "nft": "nftables", "ps": "procps"},
}
ON_DEMAND = {"ide"}  # no part of ./bin/test; its packages are fetched only for ./bin/test ide
ROOT_ONLY = {"hosts"}  # network namespaces
PLACES = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def missing_packages(tier: str) -> list[str]:
    """The Debian packages that this machine lacks for a tier."""
    return sorted(package for program, package in TIERS[tier].items() if not shutil.which(program, path=PLACES))


def obstacle(tier: str) -> str:
    """Why a tier cannot run here and what helps, as one line; empty when it can."""
    missing = missing_packages(tier)
    if missing:
        return f"tier {tier}: apt-get install {' '.join(missing)}"
    if tier in ROOT_ONLY and os.geteuid() != 0:
        return f"tier {tier}: needs root for network namespaces"
    return ""


if __name__ == "__main__":
    wanted = sys.argv[1:] or sorted(set(TIERS) - ON_DEMAND)
    print(" ".join(sorted({package for tier in wanted for package in missing_packages(tier)})))
