"""Random schedules against real nodes, the laws that must hold in all of them, and faults that must break one.

    python -m tests.campaign sim --seeds 500 [--first 0] [--nodes 3-5] [--messages 200]
    python -m tests.campaign faults [NAME …]
    python -m tests.campaign identity [--flips 1000000] [--forgeries 10000]
"""
