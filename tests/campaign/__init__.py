"""Campaigns: long random runs whose results add up in ledger.jsonl."""
