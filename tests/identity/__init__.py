"""Who is who, under attack and over years: forged and replayed words, keys that change, invitations, keys at rest."""
