"""seeded faults"""
def check_all(names): return 0
